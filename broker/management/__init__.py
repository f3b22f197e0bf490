"""The management HTTP API, in RabbitMQ's shapes, and the statistics it shows."""
