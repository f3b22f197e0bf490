"""The AMQP front end, one module of it at a time, driven through real sessions."""
