// librabbitmq's checks; with_rabbitmq_c.py compiles and runs this, foreign.py says how it is asked.

#include "with_rabbitmq_c.h"

// Publishers wait for confirms; a consumer never has more than its prefetch unacknowledged.
static void confirms_and_consume(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = unique("c.work");
  amqp_queue_declare(c, 1, queue, 0, 1, 0, 0, amqp_empty_table);
  ok(c);
  amqp_confirm_select(c, 1);
  ok(c);
  amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
  char body[16];
  for (int number = 0; number < 100; number++) {
    snprintf(body, sizeof body, "%d", number);
    publish(c, 1, amqp_empty_bytes, queue, &persistent, text(body));
  }
  for (uint64_t confirmed = 0; confirmed < 100;) {
    amqp_basic_ack_t *ack = await(c, AMQP_BASIC_ACK_METHOD);
    confirmed = ack->multiple ? ack->delivery_tag : confirmed + 1;
  }
  CHECK(count_of(c, 1, queue) == 100);
  amqp_basic_qos(c, 1, 0, 10, 0);
  ok(c);
  amqp_basic_consume(c, 1, queue, text("tag"), 0, 0, 0, amqp_empty_table);
  ok(c);
  for (int number = 0; number < 100; number++) {
    amqp_envelope_t delivery = next(c);
    snprintf(body, sizeof body, "%d", number);
    CHECK(is(delivery.message.body, body));
    CHECK(delivery.message.properties.delivery_mode == 2);
    if (number % 10 == 9) {
      amqp_frame_t frame;
      CHECK(amqp_simple_wait_frame_noblock(c, &frame, &(struct timeval){0, 2000}) == AMQP_STATUS_TIMEOUT);
      CHECK(amqp_basic_ack(c, 1, delivery.delivery_tag, 1) == 0);
    }
    amqp_destroy_envelope(&delivery);
  }
  amqp_basic_cancel(c, 1, text("tag"));
  ok(c);
  CHECK(amqp_queue_delete(c, 1, queue, 0, 0)->message_count == 0);
}

// Arguments of every type librabbitmq can write are taken, and are the same when declared again.
static void arguments(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = unique("c.arguments"), exchange = unique("c.exchange");
  for (int again = 0; again < 2; again++) {
    amqp_queue_declare(c, 1, queue, 0, 0, 1, 0, every_type());
    ok(c);
    amqp_exchange_declare(c, 1, exchange, text("headers"), 0, 0, 1, 0, every_type());
    ok(c);
    amqp_queue_bind(c, 1, queue, exchange, text("key"), every_type());
    ok(c);
  }
  amqp_basic_properties_t headers = {._flags = AMQP_BASIC_HEADERS_FLAG, .headers = every_type()};
  publish(c, 1, exchange, amqp_empty_bytes, &headers, text("all"));
  headers.headers.num_entries = 3;
  publish(c, 1, exchange, amqp_empty_bytes, &headers, text("some"));
  amqp_message_t got;
  CHECK(get(c, 1, queue, true, &got, NULL) && is(got.body, "all") && !get(c, 1, queue, true, &got, NULL));
  amqp_queue_unbind(c, 1, queue, exchange, text("key"), every_type());
  ok(c);
  amqp_exchange_declare(c, 1, exchange, text("headers"), 1, 0, 1, 0, amqp_empty_table);
  refused(c, 404, "NOT_FOUND - no exchange '%.*s' in vhost '/'", (int)exchange.len, (char *)exchange.bytes);
}

// All properties, and headers of every type librabbitmq can write, come back as they were sent.
static void properties_and_headers(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = own(c, 1, amqp_empty_table), body = {4, "\0\316\377x"};
  amqp_basic_properties_t sent = {
      ._flags = 0xfffc, .content_type = text("text/plain"), .content_encoding = text("utf-8"), .headers = every_type(),
      .delivery_mode = 1, .priority = 9, .correlation_id = text("c"), .reply_to = text("r"),
      .expiration = text("60000"), .message_id = text("m"), .timestamp = 1700000000, .type = text("t"),
      .user_id = text("guest"), .app_id = text("a"), .cluster_id = text("i")};
  publish(c, 1, amqp_empty_bytes, queue, &sent, body);
  amqp_message_t got;
  amqp_basic_get_ok_t how;
  CHECK(get(c, 1, queue, true, &got, &how));
  CHECK(same(got.body, body) && same(how.routing_key, queue) && !how.redelivered && how.message_count == 0);
  amqp_basic_properties_t *back = &got.properties;
  CHECK(back->_flags == sent._flags);
  CHECK(is(back->content_type, "text/plain") && is(back->content_encoding, "utf-8"));
  CHECK(back->delivery_mode == 1 && back->priority == 9 && back->timestamp == 1700000000);
  CHECK(is(back->correlation_id, "c") && is(back->reply_to, "r") && is(back->expiration, "60000"));
  CHECK(is(back->message_id, "m") && is(back->type, "t") && is(back->user_id, "guest"));
  CHECK(is(back->app_id, "a") && is(back->cluster_id, "i"));
  CHECK(same(encoded(back->headers), encoded(every_type())));
  amqp_destroy_message(&got);
}

// A mandatory message without a queue comes back before its confirm.
static void returns(amqp_connection_state_t c, const char *url) {
  amqp_confirm_select(c, 1);
  ok(c);
  amqp_bytes_t key = unique("c.nowhere");
  CHECK(amqp_basic_publish(c, 1, amqp_empty_bytes, key, 1, 0, NULL, text("back")) == AMQP_STATUS_OK);
  amqp_basic_return_t *back = await(c, AMQP_BASIC_RETURN_METHOD);
  CHECK(back->reply_code == 312 && is(back->reply_text, "NO_ROUTE") && same(back->routing_key, key));
  amqp_message_t message;
  CHECK(amqp_read_message(c, 1, &message, 0).reply_type == AMQP_RESPONSE_NORMAL);
  CHECK(is(message.body, "back"));
  amqp_destroy_message(&message);
  await(c, AMQP_BASIC_ACK_METHOD);
}

// A full queue that rejects publishes sends basic.nack.
static void nacked_publish(amqp_connection_state_t c, const char *url) {
  amqp_confirm_select(c, 1);
  ok(c);
  amqp_table_entry_t limits[] = {
      {text("x-max-length"), {.kind = AMQP_FIELD_KIND_I32, .value = {.i32 = 1}}},
      {text("x-overflow"), {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = text("reject-publish")}}}};
  amqp_bytes_t queue = own(c, 1, (amqp_table_t){LENGTH(limits), limits});
  publish(c, 1, amqp_empty_bytes, queue, NULL, text("fits"));
  await(c, AMQP_BASIC_ACK_METHOD);
  publish(c, 1, amqp_empty_bytes, queue, NULL, text("too many"));
  await(c, AMQP_BASIC_NACK_METHOD);
}

// Nacked and rejected messages come back in place and redelivered.
static void nack_and_requeue(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = own(c, 1, amqp_empty_table);
  publish(c, 1, amqp_empty_bytes, queue, NULL, text("a"));
  publish(c, 1, amqp_empty_bytes, queue, NULL, text("b"));
  amqp_message_t first, second;
  amqp_basic_get_ok_t how;
  CHECK(get(c, 1, queue, false, &first, &how) && get(c, 1, queue, false, &second, &how));
  CHECK(amqp_basic_nack(c, 1, how.delivery_tag, 1, 1) == 0);
  CHECK(get(c, 1, queue, false, &first, &how) && is(first.body, "a") && how.redelivered);
  CHECK(amqp_basic_reject(c, 1, how.delivery_tag, 1) == 0);
  CHECK(get(c, 1, queue, true, &first, &how) && is(first.body, "a") && how.redelivered);
  CHECK(get(c, 1, queue, false, &second, &how) && is(second.body, "b") && how.redelivered);
  amqp_basic_recover(c, 1, 1);
  ok(c);
  CHECK(get(c, 1, queue, true, &second, &how) && is(second.body, "b") && how.redelivered);
  CHECK(!get(c, 1, queue, true, &second, &how));
}

// Purge and delete count messages; if-empty is refused with 406.
static void purge_and_delete(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = unique("c.purge");
  amqp_queue_declare(c, 1, queue, 0, 0, 0, 0, amqp_empty_table);
  ok(c);
  for (int number = 0; number < 5; number++) publish(c, 1, amqp_empty_bytes, queue, NULL, text("x"));
  open_channel(c, 2);
  CHECK(!amqp_queue_delete(c, 2, queue, 0, 1));
  refused(c, 406, "PRECONDITION_FAILED - queue '%.*s' in vhost '/' not empty", (int)queue.len, (char *)queue.bytes);
  amqp_queue_purge_ok_t *purged = amqp_queue_purge(c, 1, queue);
  ok(c);
  CHECK(purged->message_count == 5);
  CHECK(amqp_queue_delete(c, 1, queue, 0, 1)->message_count == 0);
}

// A consumer is told that its queue was deleted.
static void cancel_notification(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = own(c, 1, amqp_empty_table);
  amqp_basic_consume(c, 1, queue, text("doomed"), 0, 1, 0, amqp_empty_table);
  ok(c);
  open_channel(c, 2);
  amqp_queue_delete(c, 2, queue, 0, 0);
  ok(c);
  amqp_basic_cancel_t *cancel = await(c, AMQP_BASIC_CANCEL_METHOD);
  CHECK(is(cancel->consumer_tag, "doomed"));
}

// What is published in a transaction takes effect at the commit, or never.
static void transactions(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = own(c, 1, amqp_empty_table);
  amqp_tx_select(c, 1);
  ok(c);
  publish(c, 1, amqp_empty_bytes, queue, NULL, text("rolled back"));
  amqp_tx_rollback(c, 1);
  ok(c);
  publish(c, 1, amqp_empty_bytes, queue, NULL, text("kept"));
  open_channel(c, 2);
  CHECK(count_of(c, 2, queue) == 0);
  amqp_tx_commit(c, 1);
  ok(c);
  amqp_message_t message;
  CHECK(get(c, 2, queue, true, &message, NULL) && is(message.body, "kept"));
  CHECK(!get(c, 2, queue, true, &message, NULL));
}

// Exchanges are bound to exchanges, and unbound.
static void exchange_to_exchange(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t from = unique("c.from"), to = unique("c.to"), queue = own(c, 1, amqp_empty_table);
  amqp_exchange_declare(c, 1, from, text("topic"), 0, 0, 0, 0, amqp_empty_table);
  ok(c);
  amqp_exchange_declare(c, 1, to, text("fanout"), 0, 0, 0, 1, amqp_empty_table);
  ok(c);
  amqp_queue_bind(c, 1, queue, to, amqp_empty_bytes, amqp_empty_table);
  ok(c);
  amqp_exchange_bind(c, 1, to, from, text("order.*"), amqp_empty_table);
  ok(c);
  publish(c, 1, from, text("order.new"), NULL, text("x"));
  publish(c, 1, from, text("invoice"), NULL, text("x"));
  amqp_message_t got;
  CHECK(get(c, 1, queue, true, &got, NULL) && !get(c, 1, queue, true, &got, NULL));
  amqp_exchange_unbind(c, 1, to, from, text("order.*"), amqp_empty_table);
  ok(c);
  publish(c, 1, from, text("order.new"), NULL, text("x"));
  CHECK(!get(c, 1, queue, true, &got, NULL));
  amqp_exchange_delete(c, 1, from, 0);
  ok(c);
  amqp_exchange_delete(c, 1, to, 0);
  ok(c);
}

// Channel errors have code and text, and leave other channels alone.
static void channel_errors(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t missing = unique("c.missing");
  open_channel(c, 2);
  amqp_queue_declare(c, 2, missing, 1, 0, 0, 0, amqp_empty_table);
  refused(c, 404, "NOT_FOUND - no queue '%.*s' in vhost '/'", (int)missing.len, (char *)missing.bytes);
  CHECK(amqp_send_method(c, 2, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0}) == 0);
  open_channel(c, 2);
  CHECK(amqp_basic_ack(c, 2, 9, 0) == 0);
  amqp_channel_close_t *close = await(c, AMQP_CHANNEL_CLOSE_METHOD);
  CHECK(close->reply_code == 406 && close->class_id == 60 && close->method_id == 80);
  CHECK(is(close->reply_text, "PRECONDITION_FAILED - unknown delivery tag 9"));
  CHECK(amqp_send_method(c, 2, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0}) == 0);
  own(c, 1, amqp_empty_table);
}

// A connection error has code and text.
static void connection_errors(amqp_connection_state_t c, const char *url) {
  amqp_exchange_declare(c, 1, unique("c"), text("no-such-type"), 0, 0, 1, 0, amqp_empty_table);
  refused(c, 503, "COMMAND_INVALID - unknown exchange type 'no-such-type'");
}

// Bodies of all sizes around frame-max, and one of 5 MB, arrive unchanged.
static void body_sizes(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = own(c, 1, amqp_empty_table);
  int frame = amqp_get_frame_max(c) - 8;
  int sizes[] = {0, 1, frame - 1, frame, frame + 1, 2 * frame, 5000000};
  for (int at = 0; at < LENGTH(sizes); at++) {
    amqp_bytes_t body = amqp_bytes_malloc(sizes[at]);
    for (int place = 0; place < sizes[at]; place++) ((char *)body.bytes)[place] = place * 7 % 251;
    publish(c, 1, amqp_empty_bytes, queue, NULL, body);
    amqp_message_t got;
    CHECK(get(c, 1, queue, true, &got, NULL) && same(got.body, body));
    amqp_destroy_message(&got);
    amqp_bytes_free(body);
  }
}

// 200 channels work beside each other on one connection.
static void many_channels(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t queue = own(c, 1, amqp_empty_table);
  for (int number = 2; number <= 200; number++) {
    open_channel(c, number);
    amqp_bytes_free(own(c, number, amqp_empty_table));
    publish(c, number, amqp_empty_bytes, queue, NULL, text("x"));
  }
  for (int number = 2; number <= 200; number++)
    CHECK(amqp_channel_close(c, number, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
  amqp_message_t got;
  int count = 0;
  while (get(c, 1, queue, true, &got, NULL)) count++;
  CHECK(count == 199);
}

// A wrong password is told with 403.
static void refused_login(amqp_connection_state_t c, const char *url) {
  amqp_rpc_reply_t login;
  amqp_connection_state_t other = dial(url, "wrong", 0, &login);
  CHECK(login.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && login.reply.id == AMQP_CONNECTION_CLOSE_METHOD);
  amqp_connection_close_t *close = login.reply.decoded;
  CHECK(close->reply_code == 403);
  CHECK(is(close->reply_text, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
                              "For details see the broker logfile."));
  amqp_destroy_connection(other);
}

// RPC by direct reply-to.
static void rpc(amqp_connection_state_t c, const char *url) {
  amqp_bytes_t requests = own(c, 1, amqp_empty_table), address = text("amq.rabbitmq.reply-to");
  open_channel(c, 2);
  amqp_basic_consume(c, 1, requests, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
  ok(c);
  amqp_basic_consume(c, 2, address, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
  ok(c);
  amqp_basic_properties_t asked = {._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
                                   .reply_to = address, .correlation_id = text("one")};
  publish(c, 2, amqp_empty_bytes, requests, &asked, text("question"));
  amqp_envelope_t request = next(c);
  CHECK(request.channel == 1 && is(request.message.body, "question"));
  amqp_basic_properties_t *got = &request.message.properties;
  amqp_basic_properties_t answered = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG, .correlation_id = got->correlation_id};
  publish(c, 1, amqp_empty_bytes, got->reply_to, &answered, text("answer"));
  amqp_envelope_t reply = next(c);
  CHECK(reply.channel == 2 && is(reply.message.body, "answer"));
  CHECK(is(reply.message.properties.correlation_id, "one"));
}

// A publisher is told that the broker is in alarm.
static void in_alarm(amqp_connection_state_t c, const char *url) {
  publish(c, 1, amqp_empty_bytes, text("nowhere"), NULL, text("x"));
  amqp_connection_blocked_t *blocked = await(c, AMQP_CONNECTION_BLOCKED_METHOD);
  CHECK(is(blocked->reason, "low on disk"));
}

// A connection over TLS, with the broker's certificate checked.
static void over_tls(amqp_connection_state_t c, const char *url) {
  body_sizes(c, url);
  const char *trusted = authority;
  amqp_rpc_reply_t login;
  authority = NULL;
  amqp_connection_state_t other = dial(url, NULL, 0, &login);
  authority = trusted;
  CHECK(login.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION);
  CHECK(login.library_error == AMQP_STATUS_SSL_PEER_VERIFY_FAILED || login.library_error == AMQP_STATUS_SSL_CONNECTION_FAILED);
  amqp_destroy_connection(other);
}

static const struct {
  const char *name;
  void (*run)(amqp_connection_state_t, const char *);
} checks[] = {
#define IS(name) {#name, name}
    IS(confirms_and_consume), IS(arguments), IS(properties_and_headers), IS(returns), IS(nacked_publish),
    IS(nack_and_requeue), IS(purge_and_delete), IS(cancel_notification), IS(transactions),
    IS(exchange_to_exchange), IS(channel_errors), IS(connection_errors), IS(body_sizes), IS(many_channels),
    IS(refused_login), IS(rpc), IS(in_alarm), IS(over_tls)};

static void run(const char *name, const char *url) {
  for (int at = 0; at < LENGTH(checks); at++) {
    if (strcmp(checks[at].name, name) != 0) continue;
    amqp_rpc_reply_t login;
    amqp_connection_state_t connection = dial(url, NULL, 0, &login);
    CHECK(login.reply_type == AMQP_RESPONSE_NORMAL);
    open_channel(connection, 1);
    checks[at].run(connection, url);
    // Nothing more is read from a blocked publisher.
    if (strcmp(name, "in_alarm") != 0) amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return;
  }
  fail("no such check");
}

int main(int count, char **words) {
  char line[1024], name[64], url[900];
  authority = words[1];
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin) && sscanf(line, "%63s %899s", name, url) == 2) {
    if (setjmp(failed)) {
      printf("failed: %s\n", why);
    } else {
      run(name, url);
      printf("ok\n");
    }
  }
  return 0;
}
