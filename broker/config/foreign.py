"""Keys that RabbitMQ and its plugins know and that have nothing to act on here.

Owns: `WITHOUT_MEANING`. An entry covers the key and every key below it, so it is as deep as needed
to keep a misspelt key of ours (`log.consle`) out: that one is to be reported with a suggestion.
"""

# One string, because a list of a hundred quoted lines hides the names.
_KEYS = """
    num_acceptors socket_writer reverse_dns_lookups erlang definitions.hashing
    definitions.https definitions.tls
    ssl_allow_poodle_attack ssl_options.cacerts ssl_options.cert ssl_options.client_renegotiation
    ssl_options.dh ssl_options.honor_ecc_order ssl_options.key ssl_options.log_level
    ssl_options.log_alert ssl_options.psk_identity ssl_options.reuse_sessions
    ssl_options.secure_renegotiate ssl_options.bypass_pem_cache
    default_worker_pool_size password_hashing_module credential_validator default_users
    tcp_listen_options.buffer tcp_listen_options.delay_send tcp_listen_options.dontroute
    tcp_listen_options.exit_on_close tcp_listen_options.fd
    tcp_listen_options.high_msgq_watermark tcp_listen_options.high_watermark
    tcp_listen_options.low_msgq_watermark tcp_listen_options.low_watermark
    tcp_listen_options.port tcp_listen_options.priority tcp_listen_options.send_timeout
    tcp_listen_options.send_timeout_close tcp_listen_options.tos
    vm_memory_high_watermark_paging_ratio memory_monitor_interval vm_memory_calculation_strategy
    cluster_partition_handling delegate_count mirroring_sync_batch_size
    mirroring_sync_max_throughput cluster_formation cluster_keepalive_interval cluster_tags
    node_tags queue_master_locator queue_leader_locator hipe_compile
    mnesia_table_loading_retry_timeout mnesia_table_loading_retry_limit
    message_store_shutdown_timeout queue_index_embed_msgs_below background_gc_enabled
    background_gc_target_interval vhost_restart_strategy product motd_file
    log.console.use_colors log.console.color_esc_seqs log.console.formatter.single_line
    log.console.formatter.plaintext log.console.formatter.json
    log.journald log.syslog.multiline_mode log.syslog.ssl_options log.file.formatter.single_line
    log.file.formatter.plaintext log.file.formatter.json
    log.connection.file log.connection.rotation log.channel.file log.channel.rotation
    log.mirroring.file log.mirroring.rotation log.queue.file log.queue.rotation
    log.federation.file log.federation.rotation log.upgrade.file log.upgrade.rotation
    log.ra.file log.ra.rotation log.default.rotation net_ticktime distribution sysmon_handler
    raft classic_queue quorum_queue stream_queue channel_operation_timeout
    channel_tick_interval session_max_per_connection link_max_per_session
    deprecated_features permit_deprecated_features feature_flags message_interceptors metadata_store
    khepri_default_timeout quorum_commands_soft_limit quorum_cluster_size limits.queues
    limits.vhosts management.http_log_dir management.db_cache_multiplier management.delegate_count
    management.process_stats_gc_timeout management.listener management.sample_retention_policies
    management.login_session_timeout management.disable_basic_auth management.restrictions
    management.require_auth_for_api_desc_page management.enable_uaa management.uaa_client_id
    management.uaa_location management.extra_paths management.tcp.shutdown_timeout
    management.tcp.max_keepalive management.tcp.idle_timeout management.tcp.inactivity_timeout
    management.tcp.compress management.ssl.backlog
    management.ssl.shutdown_timeout management.ssl.max_keepalive management.ssl.idle_timeout
    management.ssl.inactivity_timeout management.ssl.request_timeout management.ssl.compress
    management.oauth_enabled management.oauth_client_id management.oauth_client_secret
    management.oauth_provider_url management.oauth_scopes management.oauth_initiated_logon_type
    management.oauth_resource_servers management.oauth_disable_basic_auth
    management_agent prometheus stomp mqtt stream web_mqtt web_stomp
    auth_ldap.log auth_ldap.connection_pool_size auth_ldap.idle_timeout auth_ldap.ssl_options
    auth_oauth2.resource_server_type auth_oauth2.resource_servers auth_oauth2.oauth_providers
    auth_oauth2.default_oauth_provider auth_oauth2.https auth_oauth2.token_endpoint
    auth_oauth2.end_session_endpoint auth_oauth2.authorization_endpoint
    auth_oauth2.discovery_endpoint_path auth_oauth2.discovery_endpoint_params
    auth_http.ssl_options auth_cache.cache_module amqp1_0 federation shovel trust_store
    trace_vhosts tracing.username tracing.password
"""

WITHOUT_MEANING = tuple(tuple(key.split(".")) for key in _KEYS.split())
"""Each as the words of the key."""
