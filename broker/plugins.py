"""RabbitMQ's plugins: which are part of Leveret, and which it does not have.

`rabbitmq-plugins`' stand-in looks the names up, and the management API tells them. What is built in
is always on; without settings it has no effect, as an enabled plugin without settings.
"""

BUILT_IN = {
    "rabbitmq_auth_backend_cache": "answers of other auth_backends are remembered",
    "rabbitmq_auth_backend_http": "a web service knows users and permissions",
    "rabbitmq_auth_backend_ldap": "a directory knows users and permissions",
    "rabbitmq_auth_backend_oauth2": "tokens instead of passwords",
    "rabbitmq_auth_mechanism_ssl": "logins by client certificate (EXTERNAL)",
    "rabbitmq_consistent_hash_exchange": "exchange type x-consistent-hash",
    "rabbitmq_delayed_message_exchange": "exchange type x-delayed-message",
    "rabbitmq_event_exchange": "exchange amq.rabbitmq.event",
    "rabbitmq_management": "management API and web page",
    "rabbitmq_management_agent": "statistics for the management API",
    "rabbitmq_message_deduplication": "exchange type x-message-deduplication",
    "rabbitmq_prometheus": "metrics for Prometheus",
    "rabbitmq_random_exchange": "exchange type x-random",
    "rabbitmq_recent_history_exchange": "exchange type x-recent-history",
    "rabbitmq_tracing": "messages that pass a vhost, written to files",
    "rabbitmq_web_dispatch": "serves the management API",
}
"""Name -> what it gives."""

ABSENT = {
    "rabbitmq_amqp1_0": "Leveret speaks AMQP 0-9-1 only",
    "rabbitmq_federation": "Leveret does not federate; its parameters are kept without effect",
    "rabbitmq_federation_management": "Leveret does not federate",
    "rabbitmq_federation_prometheus": "Leveret does not federate",
    "rabbitmq_jms_topic_exchange": "Leveret has no such exchange type",
    "rabbitmq_mqtt": "Leveret speaks AMQP 0-9-1 only",
    "rabbitmq_peer_discovery_aws": "Leveret is one node",
    "rabbitmq_peer_discovery_common": "Leveret is one node",
    "rabbitmq_peer_discovery_consul": "Leveret is one node",
    "rabbitmq_peer_discovery_etcd": "Leveret is one node",
    "rabbitmq_peer_discovery_k8s": "Leveret is one node",
    "rabbitmq_sharding": "of it Leveret has the exchange type x-modulus-hash only",
    "rabbitmq_shovel": "Leveret has no shovels; their parameters are kept without effect",
    "rabbitmq_shovel_management": "Leveret has no shovels",
    "rabbitmq_shovel_prometheus": "Leveret has no shovels",
    "rabbitmq_stomp": "Leveret speaks AMQP 0-9-1 only",
    "rabbitmq_stream": "Leveret speaks AMQP 0-9-1 only",
    "rabbitmq_stream_management": "Leveret's streams are classic queues",
    "rabbitmq_top": "Leveret does not run Erlang; see `leveret status` and its metrics",
    "rabbitmq_trust_store": "name the certificates to trust in ssl_options.cacertfile",
    "rabbitmq_web_mqtt": "Leveret speaks AMQP 0-9-1 only",
    "rabbitmq_web_mqtt_examples": "Leveret speaks AMQP 0-9-1 only",
    "rabbitmq_web_stomp": "Leveret speaks AMQP 0-9-1 only",
    "rabbitmq_web_stomp_examples": "Leveret speaks AMQP 0-9-1 only",
}
"""Name -> why it is not there."""
