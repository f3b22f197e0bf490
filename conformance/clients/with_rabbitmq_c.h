// What the checks in with_rabbitmq_c.c are written with: connecting, calls, comparing, waiting.

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE ((struct timeval){10, 0})
#define LENGTH(array) ((int)(sizeof(array) / sizeof(*(array))))

static const char *authority;
static jmp_buf failed;
static char why[4096];

static void fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(why, sizeof why, format, values);
  va_end(values);
  longjmp(failed, 1);
}

#define CHECK(holds) ((holds) ? (void)0 : fail("line %d: %s", __LINE__, #holds))

static amqp_bytes_t text(const char *octets) { return amqp_cstring_bytes(octets); }

static bool same(amqp_bytes_t left, amqp_bytes_t right) {
  return left.len == right.len && memcmp(left.bytes, right.bytes, left.len) == 0;
}

static bool is(amqp_bytes_t octets, const char *expected) { return same(octets, text(expected)); }

static amqp_bytes_t unique(const char *stem) {
  static int count;
  struct timeval now;
  char name[128];
  gettimeofday(&now, NULL);
  snprintf(name, sizeof name, "%s.%d.%ld.%d", stem, getpid(), (long)now.tv_usec, count++);
  return amqp_bytes_malloc_dup(text(name));
}

static void ok(amqp_connection_state_t connection) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) fail("%s", amqp_error_string2(reply.library_error));
  amqp_channel_close_t *close = reply.reply.decoded;
  fail("%d %.*s", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes);
}

static amqp_connection_state_t dial(const char *url, const char *password, int heartbeat, amqp_rpc_reply_t *login) {
  static char parsed[1024];
  struct amqp_connection_info info;
  snprintf(parsed, sizeof parsed, "%s", url);
  CHECK(amqp_parse_url(parsed, &info) == AMQP_STATUS_OK);
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = info.ssl ? amqp_ssl_socket_new(connection) : amqp_tcp_socket_new(connection);
  CHECK(socket);
  if (info.ssl && authority) CHECK(amqp_ssl_socket_set_cacert(socket, authority) == AMQP_STATUS_OK);
  int status = amqp_socket_open(socket, info.host, info.port);
  if (status != AMQP_STATUS_OK) {
    *login = (amqp_rpc_reply_t){.reply_type = AMQP_RESPONSE_LIBRARY_EXCEPTION, .library_error = status};
    return connection;
  }
  // librabbitmq says that it understands these only if it is told to.
  amqp_table_entry_t understood[] = {
      {text("consumer_cancel_notify"), {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}},
      {text("authentication_failure_close"), {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}},
      {text("connection.blocked"), {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}}};
  amqp_table_t capabilities = {LENGTH(understood), understood};
  amqp_table_entry_t told = {text("capabilities"), {.kind = AMQP_FIELD_KIND_TABLE, .value = {.table = capabilities}}};
  amqp_table_t properties = {1, &told};
  *login = amqp_login_with_properties(connection, info.vhost, 0, 131072, heartbeat, &properties,
                                      AMQP_SASL_METHOD_PLAIN, info.user, password ? password : info.password);
  return connection;
}

static void open_channel(amqp_connection_state_t connection, int number) {
  amqp_channel_open(connection, number);
  ok(connection);
}

static amqp_bytes_t own(amqp_connection_state_t connection, int channel, amqp_table_t arguments) {
  amqp_queue_declare_ok_t *made =
      amqp_queue_declare(connection, channel, amqp_empty_bytes, 0, 0, 1, 0, arguments);
  ok(connection);
  return amqp_bytes_malloc_dup(made->queue);
}

static int count_of(amqp_connection_state_t connection, int channel, amqp_bytes_t queue) {
  amqp_queue_declare_ok_t *found = amqp_queue_declare(connection, channel, queue, 1, 0, 0, 0, amqp_empty_table);
  ok(connection);
  return found->message_count;
}

static void publish(amqp_connection_state_t connection, int channel, amqp_bytes_t exchange, amqp_bytes_t key,
                    amqp_basic_properties_t *properties, amqp_bytes_t body) {
  CHECK(amqp_basic_publish(connection, channel, exchange, key, 0, 0, properties, body) == AMQP_STATUS_OK);
}

// The next message of a queue; false if there is none.
static bool get(amqp_connection_state_t connection, int channel, amqp_bytes_t queue, bool no_ack,
                amqp_message_t *message, amqp_basic_get_ok_t *got) {
  amqp_maybe_release_buffers(connection);
  amqp_rpc_reply_t reply = amqp_basic_get(connection, channel, queue, no_ack);
  CHECK(reply.reply_type == AMQP_RESPONSE_NORMAL);
  if (reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD) return false;
  if (got) *got = *(amqp_basic_get_ok_t *)reply.reply.decoded;
  CHECK(amqp_read_message(connection, channel, message, 0).reply_type == AMQP_RESPONSE_NORMAL);
  return true;
}

static amqp_envelope_t next(amqp_connection_state_t connection) {
  amqp_envelope_t envelope;
  amqp_maybe_release_buffers(connection);
  amqp_rpc_reply_t reply = amqp_consume_message(connection, &envelope, &PATIENCE, 0);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail("no delivery: %s", amqp_error_string2(reply.library_error));
  return envelope;
}

// The next method that is no answer to a call.
static void *await(amqp_connection_state_t connection, amqp_method_number_t id) {
  amqp_frame_t frame;
  do {
    CHECK(amqp_simple_wait_frame_noblock(connection, &frame, &PATIENCE) == AMQP_STATUS_OK);
  } while (frame.frame_type != AMQP_FRAME_METHOD);
  if (frame.payload.method.id != id) fail("not %s: %s", amqp_method_name(id), amqp_method_name(frame.payload.method.id));
  return frame.payload.method.decoded;
}

static void refused(amqp_connection_state_t connection, int code, const char *expected, ...) {
  char wanted[512];
  va_list values;
  va_start(values, expected);
  vsnprintf(wanted, sizeof wanted, expected, values);
  va_end(values);
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  CHECK(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION);
  amqp_channel_close_t *close = reply.reply.decoded; // connection.close begins in the same way
  if (close->reply_code != code || !is(close->reply_text, wanted))
    fail("%d %.*s, not %d %s", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes, code,
         wanted);
}

// Every type that librabbitmq can write into a table.
static amqp_table_t every_type(void) {
  static amqp_field_value_t list[3];
  static amqp_table_entry_t deep[1], all[17];
  list[0] = (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I32, .value = {.i32 = 1}};
  list[1] = (amqp_field_value_t){.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = text("two")}};
  list[2] = (amqp_field_value_t){.kind = AMQP_FIELD_KIND_TABLE, .value = {.table = amqp_empty_table}};
  deep[0] = (amqp_table_entry_t){text("deep"), {.kind = AMQP_FIELD_KIND_VOID}};
#define ENTRY(name, type, member, content) \
  (amqp_table_entry_t){text(name), {.kind = AMQP_FIELD_KIND_##type, .value = {.member = content}}}
  all[0] = ENTRY("yes", BOOLEAN, boolean, 1);
  all[1] = ENTRY("i8", I8, i8, -100);
  all[2] = ENTRY("u8", U8, u8, 200);
  all[3] = ENTRY("i16", I16, i16, -30000);
  all[4] = ENTRY("u16", U16, u16, 60000);
  all[5] = ENTRY("i32", I32, i32, -2000000000);
  all[6] = ENTRY("u32", U32, u32, 4000000000U);
  all[7] = ENTRY("i64", I64, i64, -(1LL << 62));
  all[8] = ENTRY("f32", F32, f32, 0.5F);
  all[9] = ENTRY("f64", F64, f64, 0.1);
  all[10] = ENTRY("text", UTF8, bytes, text("żółw"));
  all[11] = ENTRY("octets", BYTES, bytes, ((amqp_bytes_t){3, "\0\377\316"}));
  all[12] = ENTRY("when", TIMESTAMP, u64, 1700000000);
  all[13] = ENTRY("money", DECIMAL, decimal, ((amqp_decimal_t){2, 314}));
  all[14] = ENTRY("list", ARRAY, array, ((amqp_array_t){LENGTH(list), list}));
  all[15] = ENTRY("table", TABLE, table, ((amqp_table_t){1, deep}));
  all[16] = (amqp_table_entry_t){text("nothing"), {.kind = AMQP_FIELD_KIND_VOID}};
  return (amqp_table_t){LENGTH(all), all};
}

static amqp_bytes_t encoded(amqp_table_t table) {
  static char places[2][4096];
  static int turn;
  turn = !turn;
  size_t offset = 0;
  amqp_bytes_t buffer = {sizeof places[turn], places[turn]};
  CHECK(amqp_encode_table(buffer, &table, &offset) == AMQP_STATUS_OK);
  return (amqp_bytes_t){offset, places[turn]};
}
