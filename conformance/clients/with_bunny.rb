# bunny's checks; with_bunny.py runs this, foreign.py says how it is asked.

require 'bunny'
require 'json'
require 'securerandom'
require 'timeout'

PATIENCE_S = 10
AUTHORITY = ARGV.fetch(0)

class Wrong < StandardError; end

def equal(got, expected, what)
  raise Wrong, "#{what}: got #{got.inspect}, expected #{expected.inspect}" unless got == expected
end

def unique(stem) = "#{stem}.#{SecureRandom.hex(6)}"

def await(source, what)
  Timeout.timeout(PATIENCE_S) { source.pop }
rescue Timeout::Error
  raise Wrong, "not in time: #{what}"
end

def refused(type, text)
  yield
rescue type => e
  equal(e.message, text, 'text')
  e
else
  raise Wrong, "not refused: #{text}"
end

def own(channel, arguments = {}) = channel.queue('', exclusive: true, arguments: arguments)

def take(queue)
  bodies = []
  until (body = queue.pop.last).nil?
    bodies << body
  end
  bodies
end

def ask(word)
  puts word
  $stdin.gets
end

def connect(url, **options)
  tls = url.start_with?('amqps:') ? { tls_ca_certificates: [AUTHORITY], verify_peer: true } : {}
  Bunny.new(url, log_level: Logger::FATAL, network_recovery_interval: 0.2, **tls, **options).start
end

EVERY_TYPE = {
  'text' => 'żółw'.b, 'yes' => true, 'no' => false, 'nothing' => nil, 'int' => -2_000_000_000,
  'long' => 2**62, 'double' => 0.1, 'when' => Time.at(1_700_000_000),
  'list' => [1, 'two', { 'three' => [nil, 3.5] }], 'table' => { 'nested' => {} }
}.freeze

class Checks
  def initialize(connection, url)
    @connection = connection
    @url = url
  end

  # Publishers wait for confirms; a consumer never has more than its prefetch unacknowledged.
  def confirms_and_consume
    channel = @connection.create_channel
    channel.confirm_select
    queue = channel.queue(unique('bunny.work'), durable: true)
    100.times { |number| queue.publish(number.to_s, persistent: true) }
    equal(channel.wait_for_confirms, true, 'confirmed')
    equal(queue.message_count, 100, 'messages')
    channel.prefetch(10)
    inbox = Queue.new
    consumer = queue.subscribe(manual_ack: true) { |*delivery| inbox << delivery }
    100.times do |number|
      info, properties, body = await(inbox, 'a delivery')
      equal(body, number.to_s, 'order')
      equal(properties.delivery_mode, 2, 'delivery mode')
      next unless number % 10 == 9

      equal(inbox.size, 0, 'sent beyond the prefetch')
      channel.ack(info.delivery_tag, true)
    end
    consumer.cancel
    equal(queue.delete.message_count, 0, 'messages left')
  end

  # Arguments of every type bunny can write are taken, and are the same when declared again.
  def arguments
    channel = @connection.create_channel
    name = unique('bunny.arguments')
    given = EVERY_TYPE.transform_keys { |key| "own-#{key}" }.merge('x-max-length' => 5)
    exchange = queue = nil
    2.times do
      queue = channel.queue(name, exclusive: true, arguments: given)
      exchange = channel.headers(unique('bunny.exchange'), auto_delete: true, arguments: EVERY_TYPE)
      queue.bind(exchange, arguments: EVERY_TYPE)
    end
    exchange.publish('all', headers: EVERY_TYPE)
    exchange.publish('some', headers: { 'text' => 'x' })
    equal(take(queue), ['all'], 'messages with all headers')
    queue.unbind(exchange, arguments: EVERY_TYPE)
    equal(@connection.exchange_exists?(exchange.name), false, 'an auto-delete exchange after its last binding')
    refused(Bunny::PreconditionFailed, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue " \
      "'#{name}' in vhost '/': received '6' but current is '5'") do
      @connection.create_channel.queue(name, exclusive: true, arguments: given.merge('x-max-length' => 6))
    end
  end

  # All properties, and headers of every type bunny can write, come back as they were sent.
  def properties_and_headers
    queue = own(@connection.create_channel)
    sent = {
      content_type: 'text/plain', content_encoding: 'utf-8', headers: EVERY_TYPE, delivery_mode: 1, priority: 9,
      correlation_id: 'c', reply_to: 'r', expiration: '60000', message_id: 'm', timestamp: 1_700_000_000,
      type: 't', user_id: 'guest', app_id: 'a'
    }
    queue.publish("\0\xCE\xFF".b, **sent)
    info, properties, body = queue.pop
    equal(properties.to_hash, sent.merge(timestamp: Time.at(1_700_000_000)), 'properties')
    equal(body.b, "\0\xCE\xFF".b, 'body')
    equal([info.routing_key, info.redelivered], [queue.name, false], 'fields')
  end

  # A mandatory message without a queue comes back before its confirm.
  def returns
    channel = @connection.create_channel
    order = Queue.new
    channel.confirm_select(->(_tag, _multiple, nack) { order << (nack ? 'nack' : 'ack') })
    exchange = channel.default_exchange
    exchange.on_return { |info, properties, body| order << [info.reply_code, info.reply_text, properties.type, body] }
    exchange.publish('back', routing_key: unique('bunny.nowhere'), mandatory: true, type: 't')
    equal(await(order, 'the return'), [312, 'NO_ROUTE', 't', 'back'], 'return')
    equal(await(order, 'the confirm'), 'ack', 'confirm')
  end

  # A full queue that rejects publishes nacks, which wait_for_confirms tells.
  def nacked_publish
    channel = @connection.create_channel
    channel.confirm_select
    queue = own(channel, 'x-max-length' => 1, 'x-overflow' => 'reject-publish')
    queue.publish('fits')
    equal(channel.wait_for_confirms, true, 'confirmed')
    queue.publish('too many')
    equal(channel.wait_for_confirms, false, 'confirmed')
    equal(channel.nacked_set.to_a, [2], 'nacked')
  end

  # Nacked and rejected messages come back in place and redelivered; recover sends them again.
  def nack_and_requeue
    channel = @connection.create_channel
    queue = own(channel)
    %w[a b c].each { |body| queue.publish(body) }
    get = -> { queue.pop(manual_ack: true) }
    tags = [get.call, get.call].map { |info, *| info.delivery_tag }
    channel.nack(tags.last, true, true)
    again = [get.call, get.call]
    equal(again.map { |info, _, body| [body, info.redelivered] }, [['a', true], ['b', true]], 'again')
    channel.reject(again[0][0].delivery_tag, true)
    channel.reject(again[1][0].delivery_tag, false)
    inbox = Queue.new
    queue.subscribe(manual_ack: true) { |info, _, body| inbox << [body, info.redelivered] }
    equal([await(inbox, 'a'), await(inbox, 'c')], [['a', true], ['c', false]], 'consumed')
    channel.recover
    equal([await(inbox, 'a'), await(inbox, 'c')], [['a', true], ['c', true]], 'recovered')
  end

  # Purge and delete count messages; if-unused and if-empty are refused with 406.
  def purge_and_delete
    channel = @connection.create_channel
    queue = channel.queue(unique('bunny.purge'))
    5.times { queue.publish('') }
    refused(Bunny::PreconditionFailed, "PRECONDITION_FAILED - queue '#{queue.name}' in vhost '/' not empty") do
      @connection.create_channel.queue_delete(queue.name, if_empty: true)
    end
    equal(channel.queue_purge(queue.name).message_count, 5, 'purged')
    queue.subscribe {}
    refused(Bunny::PreconditionFailed, "PRECONDITION_FAILED - queue '#{queue.name}' in vhost '/' in use") do
      @connection.create_channel.queue_delete(queue.name, if_unused: true)
    end
    equal(queue.delete.message_count, 0, 'deleted')
  end

  # A consumer's on_cancellation is called when its queue is deleted.
  def cancel_notification
    queue = own(@connection.create_channel)
    cancels = Queue.new
    queue.subscribe(consumer_tag: 'doomed', on_cancellation: ->(cancel) { cancels << cancel.consumer_tag }) {}
    @connection.create_channel.queue_delete(queue.name)
    equal(await(cancels, 'the notification'), 'doomed', 'consumer tag')
  end

  # What is published in a transaction takes effect at the commit, or never.
  def transactions
    channel = @connection.create_channel
    queue = own(channel)
    other = @connection.create_channel.queue(queue.name, passive: true)
    channel.tx_select
    queue.publish('rolled back')
    channel.tx_rollback
    queue.publish('kept')
    equal(other.message_count, 0, 'before the commit')
    channel.tx_commit
    equal(take(other), ['kept'], 'after the commit')
  end

  # Exchanges are bound to exchanges, and unbound.
  def exchange_to_exchange
    channel = @connection.create_channel
    from = channel.topic(unique('bunny.from'))
    to = channel.fanout(unique('bunny.to'))
    queue = own(channel).bind(to)
    to.bind(from, routing_key: 'order.*')
    %w[order.new invoice].each { |key| from.publish(key, routing_key: key) }
    equal(take(queue), ['order.new'], 'routed')
    to.unbind(from, routing_key: 'order.*')
    from.publish('', routing_key: 'order.new')
    equal(take(queue), [], 'routed after the unbind')
    [from, to].each(&:delete)
  end

  # Channel errors are exceptions of their own with code and text, and leave other channels alone.
  def channel_errors
    missing = unique('bunny.missing')
    healthy = @connection.create_channel
    refused(Bunny::NotFound, "NOT_FOUND - no queue '#{missing}' in vhost '/'") do
      @connection.create_channel.queue(missing, passive: true)
    end
    refused(Bunny::AccessRefused, "ACCESS_REFUSED - deletion of system exchange 'amq.nope' in vhost '/' not allowed") do
      @connection.create_channel.exchange_delete('amq.nope')
    end
    errors = Queue.new
    channel = @connection.create_channel
    channel.on_error { |_, close| errors << [close.reply_code, close.reply_text, close.class_id, close.method_id] }
    channel.basic_ack(9)
    expected = [406, 'PRECONDITION_FAILED - unknown delivery tag 9', 60, 80]
    equal(await(errors, "the channel's end"), expected, 'error')
    equal(channel.open?, false, 'open')
    own(healthy)
  end

  # A connection error is raised with its code and text.
  def connection_errors
    errors = Queue.new
    def errors.raise(error) = self << error
    connection = connect(@url, recover_from_connection_close: false, session_error_handler: errors)
    Thread.new { connection.create_channel.exchange(unique('bunny'), type: 'no-such-type') }.report_on_exception = false
    error = await(errors, 'the error')
    text = "COMMAND_INVALID - unknown exchange type 'no-such-type'"
    equal([error.class, error.message.include?(text)], [Bunny::CommandInvalid, true], error.message)
  end

  # Bodies of all sizes around frame-max, and one of 5 MB, arrive unchanged.
  def body_sizes
    queue = own(@connection.create_channel)
    frame = @connection.frame_max - 8
    [0, 1, frame - 1, frame, frame + 1, 2 * frame, 5_000_000].each do |size|
      body = Random.bytes(size)
      queue.publish(body)
      equal(queue.pop.last.b == body, true, "body of #{size} unchanged")
    end
  end

  # 200 channels work beside each other on one connection.
  def many_channels
    channels = Array.new(200) { @connection.create_channel }
    queue = own(channels[0])
    channels.each do |channel|
      own(channel)
      channel.default_exchange.publish('', routing_key: queue.name)
    end
    channels.drop(1).each(&:close)
    equal(take(queue).size, 200, 'messages')
  end

  # Threads publish at once, each waiting for its confirms, on channels of one connection.
  def many_publishers
    queue = own(@connection.create_channel)
    threads = Array.new(8) do
      Thread.new do
        channel = @connection.create_channel
        channel.confirm_select
        Array.new(50) do |count|
          channel.default_exchange.publish('x' * count, routing_key: queue.name, mandatory: true)
          channel.wait_for_confirms
        end.all?
      end
    end
    equal(threads.map(&:value).uniq, [true], 'confirmed')
    equal(queue.message_count, 400, 'messages')
  end

  # A wrong password is bunny's own AuthenticationFailureError.
  def refused_login
    connect(@url.sub('guest:guest', 'guest:wrong'))
  rescue Bunny::AuthenticationFailureError => e
    equal(e.username, 'guest', 'username')
  else
    raise Wrong, 'logged in'
  end

  # RPC by direct reply-to.
  def rpc
    server = @connection.create_channel
    requests = own(server)
    requests.subscribe do |_, properties, body|
      server.default_exchange.publish("re: #{body}", routing_key: properties.reply_to,
                                                     correlation_id: properties.correlation_id)
    end
    client = @connection.create_channel
    replies = Queue.new
    client.basic_consume('amq.rabbitmq.reply-to', '', true) { |_, properties, body| replies << [properties.correlation_id, body] }
    %w[one two].each do |word|
      client.default_exchange.publish(word, routing_key: requests.name, correlation_id: word,
                                            reply_to: 'amq.rabbitmq.reply-to')
      equal(await(replies, 'a reply'), [word, "re: #{word}"], 'reply')
    end
  end

  # A rejected message goes to the dead letter queue with x-death, of types bunny reads.
  def dead_letters
    channel = @connection.create_channel
    dead = own(channel)
    queue = own(channel, 'x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => dead.name)
    queue.publish('letter')
    channel.reject(queue.pop(manual_ack: true).first.delivery_tag, false)
    inbox = Queue.new
    dead.subscribe { |_, properties, _| inbox << properties.headers['x-death'] }
    death = await(inbox, 'the dead letter').first
    equal((Time.now - death.delete('time')) < 60, true, 'time')
    equal(death, { 'count' => 1, 'exchange' => '', 'queue' => queue.name, 'reason' => 'rejected',
                   'routing-keys' => [queue.name] }, 'x-death')
  end

  # A publisher is told that the broker is in alarm.
  def in_alarm
    reasons = Queue.new
    @connection.on_blocked { |blocked| reasons << blocked.reason }
    @connection.create_channel.default_exchange.publish('', routing_key: 'nowhere')
    equal(await(reasons, 'connection.blocked'), 'low on disk', 'reason')
    equal(@connection.blocked?, true, 'blocked')
  end

  # A connection over TLS, with the broker's certificate checked.
  def over_tls
    body_sizes
    Bunny.new(@url, log_level: Logger::FATAL, verify_peer: true, tls_ca_certificates: []).start
  rescue OpenSSL::SSL::SSLError, Bunny::TCPConnectionFailed => e
    equal(e.message.include?('certificate verify failed'), true, e.message)
  else
    raise Wrong, "the broker's certificate was taken"
  end

  # bunny connects again by itself after a restart, and declares what it had and consumes.
  def after_restart
    recovered = Queue.new
    connection = connect(@url, recovery_completed: -> { recovered << true })
    channel = connection.create_channel
    exchange = channel.direct(unique('bunny.exchange'), auto_delete: true)
    queue = own(channel).bind(exchange, routing_key: 'key')
    inbox = Queue.new
    queue.subscribe { |_, _, body| inbox << body }
    kept = channel.queue(unique('bunny.kept'), durable: true)
    channel.confirm_select
    kept.publish('kept', persistent: true)
    equal(channel.wait_for_confirms, true, 'confirmed')
    ask('restart')
    await(recovered, 'recovery')
    exchange.publish('again', routing_key: 'key', mandatory: true)
    equal(await(inbox, 'a delivery'), 'again', 'routed as before')
    equal(take(kept), ['kept'], 'messages')
    kept.delete
    connection.close
  end
end

def run(name, url)
  connection = connect(url)
  Checks.new(connection, url).public_send(name)
  connection.close unless name == 'in_alarm' # Nothing more is read from a blocked publisher.
  'ok'
rescue StandardError => e
  warn e.full_message
  "failed: #{e.class} #{e.message}".tr("\n", ' ')
end

$stdout.sync = true
while (line = $stdin.gets)
  puts run(*line.split(' ', 2).map(&:strip))
end
