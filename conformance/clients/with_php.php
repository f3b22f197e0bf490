<?php
// php-amqplib's checks; with_php.py runs this, foreign.py says how it is asked.

declare(strict_types=1);

require '/usr/share/php/PhpAmqpLib/autoload.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Connection\AMQPConnectionConfig;
use PhpAmqpLib\Connection\AMQPConnectionFactory;
use PhpAmqpLib\Exception\AMQPBasicCancelException;
use PhpAmqpLib\Exception\AMQPConnectionBlockedException;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPDecimal;
use PhpAmqpLib\Wire\AMQPTable;

const PATIENCE_S = 10;

function equal(mixed $got, mixed $expected, string $what): void
{
    if ($got !== $expected) {
        throw new Exception("$what: got " . var_export($got, true) . ', expected ' . var_export($expected, true));
    }
}

function unique(string $stem): string
{
    return $stem . '.' . bin2hex(random_bytes(6));
}

function connect(string $url, ?string $password = null, ?string $authority = null): AbstractConnection
{
    $parts = parse_url($url);
    $config = new AMQPConnectionConfig();
    $config->setHost($parts['host']);
    $config->setPort($parts['port']);
    $config->setUser($parts['user']);
    $config->setPassword($password ?? $parts['pass']);
    $config->setReadTimeout(PATIENCE_S);
    $config->setWriteTimeout(PATIENCE_S);
    if ($parts['scheme'] === 'amqps') {
        $config->setIsSecure(true);
        $config->setNetworkProtocol('ssl');
        $config->setSslVerify(true);
        $config->setSslCaCert($authority);
    }
    return AMQPConnectionFactory::create($config);
}

function own(AMQPChannel $channel, array $arguments = []): string
{
    return $channel->queue_declare('', false, false, true, false, false, new AMQPTable($arguments))[0];
}

function count_of(AMQPChannel $channel, string $queue): int
{
    return $channel->queue_declare($queue, true)[1];
}

function take(AMQPChannel $channel, string $queue): array
{
    $bodies = [];
    while ($message = $channel->basic_get($queue, true)) {
        $bodies[] = $message->getBody();
    }
    return $bodies;
}

function refused(string $class, int $code, string $text, callable $call): void
{
    try {
        $call();
    } catch (Exception $error) {
        equal([get_class($error), $error->getCode(), $error->getMessage()], [$class, $code, $text], 'error');
        return;
    }
    throw new Exception("not refused: $text");
}

function consume(AMQPChannel $channel, string $queue, bool $no_ack, ArrayObject $inbox, string $tag = ''): string
{
    return $channel->basic_consume($queue, $tag, false, $no_ack, false, false, fn ($message) => $inbox->append($message));
}

function await(AMQPChannel $channel, ArrayObject $inbox, int $number): void
{
    while (count($inbox) < $number) {
        $channel->wait(null, false, PATIENCE_S);
    }
}

function every_type(): array
{
    return [
        'text' => 'żółw', 'yes' => true, 'no' => false, 'nothing' => null, 'int' => -2000000000,
        'long' => 2 ** 62, 'double' => 0.1, 'when' => new DateTime('@1700000000'), 'money' => new AMQPDecimal(314, 2),
        'list' => [1, 'two', ['three' => [null, 3.5]]], 'table' => ['nested' => ['deep' => 1]],
    ];
}

class Checks
{
    public function __construct(
        private AbstractConnection $connection,
        private string $url,
    ) {
    }

    // Publishers wait for confirms; a consumer never has more than its prefetch unacknowledged.
    public function confirms_and_consume(): void
    {
        $channel = $this->connection->channel();
        $queue = unique('php.work');
        $channel->queue_declare($queue, false, true, false, false);
        $channel->confirm_select();
        $acked = 0;
        $channel->set_ack_handler(function () use (&$acked) {
            $acked++;
        });
        for ($number = 0; $number < 100; $number++) {
            $channel->basic_publish(new AMQPMessage("$number", ['delivery_mode' => 2]), '', $queue);
        }
        $channel->wait_for_pending_acks(PATIENCE_S);
        equal($acked, 100, 'confirms');
        equal(count_of($channel, $queue), 100, 'messages');
        $channel->basic_qos(0, 10, false);
        $inbox = new ArrayObject();
        $tag = consume($channel, $queue, false, $inbox);
        for ($number = 10; $number <= 100; $number += 10) {
            await($channel, $inbox, $number);
            equal(count($inbox), $number, 'sent beyond the prefetch');
            $inbox[$number - 1]->ack(true);
        }
        equal(array_map(fn ($message) => (int) $message->getBody(), (array) $inbox), range(0, 99), 'order');
        equal($inbox[0]->get('delivery_mode'), 2, 'delivery mode');
        $channel->basic_cancel($tag);
        equal($channel->queue_delete($queue), 0, 'messages left');
    }

    // Arguments of every type php-amqplib can write are taken, and are the same when declared again.
    public function arguments(): void
    {
        $channel = $this->connection->channel();
        $queue = unique('php.arguments');
        $exchange = unique('php.exchange');
        $table = new AMQPTable(every_type());
        for ($again = 0; $again < 2; $again++) {
            $channel->queue_declare($queue, false, false, true, false, false, new AMQPTable(['x-max-length' => 5] + every_type()));
            $channel->exchange_declare($exchange, 'headers', false, false, true, false, false, $table);
            $channel->queue_bind($queue, $exchange, 'key', false, $table);
        }
        $channel->basic_publish(new AMQPMessage('all', ['application_headers' => $table]), $exchange);
        $some = new AMQPTable(['text' => 'x']);
        $channel->basic_publish(new AMQPMessage('some', ['application_headers' => $some]), $exchange);
        equal(take($channel, $queue), ['all'], 'messages with all headers');
        $channel->queue_unbind($queue, $exchange, 'key', $table);
        refused(
            AMQPProtocolChannelException::class,
            404,
            "NOT_FOUND - no exchange '$exchange' in vhost '/'",
            fn () => $this->connection->channel()->exchange_declare($exchange, 'headers', true)
        );
        refused(
            AMQPProtocolChannelException::class,
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '$queue' in vhost '/': received '6' but current is '5'",
            fn () => $this->connection->channel()
                ->queue_declare($queue, false, false, true, false, false, new AMQPTable(['x-max-length' => 6]))
        );
    }

    // All properties, and headers of every type php-amqplib can write, come back as they were sent.
    public function properties_and_headers(): void
    {
        $channel = $this->connection->channel();
        $queue = own($channel);
        $sent = [
            'content_type' => 'text/plain', 'content_encoding' => 'utf-8', 'delivery_mode' => 1, 'priority' => 9,
            'correlation_id' => 'c', 'reply_to' => 'r', 'expiration' => '60000', 'message_id' => 'm',
            'timestamp' => 1700000000, 'type' => 't', 'user_id' => 'guest', 'app_id' => 'a', 'cluster_id' => 'i',
        ];
        $body = implode('', array_map('chr', range(0, 255)));
        $channel->basic_publish(new AMQPMessage($body, $sent + ['application_headers' => new AMQPTable(every_type())]), '', $queue);
        $got = $channel->basic_get($queue, true);
        $back = $got->get_properties();
        $headers = $back['application_headers']->getNativeData();
        unset($back['application_headers']);
        ksort($back);
        ksort($sent);
        equal($back, $sent, 'properties');
        equal($got->getBody(), $body, 'body');
        equal([$got->getRoutingKey(), $got->isRedelivered(), $got->getMessageCount()], [$queue, false, 0], 'fields');
        equal($headers['when']->getTimestamp(), 1700000000, 'timestamp');
        equal([$headers['money']->getN(), $headers['money']->getE()], [314, 2], 'decimal');
        // php-amqplib writes doubles and reads them as texts.
        $expected = array_diff_key(every_type(), ['when' => 0, 'money' => 0]);
        $expected['double'] = '0.1';
        $expected['list'][2]['three'][1] = '3.5';
        ksort($expected);
        $headers = array_diff_key($headers, ['when' => 0, 'money' => 0]);
        ksort($headers);
        equal($headers, $expected, 'headers');
    }

    // A mandatory message without a queue comes back before its confirm.
    public function returns(): void
    {
        $channel = $this->connection->channel();
        $channel->confirm_select();
        $order = new ArrayObject();
        $channel->set_return_listener(fn (...$back) => $order->append([$back[0], $back[1], $back[4]->getBody()]));
        $channel->set_ack_handler(fn () => $order->append('ack'));
        $channel->basic_publish(new AMQPMessage('back'), '', unique('php.nowhere'), true);
        $channel->wait_for_pending_acks_returns(PATIENCE_S);
        equal((array) $order, [[312, 'NO_ROUTE', 'back'], 'ack'], 'order');
    }

    // A full queue that rejects publishes nacks, which the handler is told.
    public function nacked_publish(): void
    {
        $channel = $this->connection->channel();
        $channel->confirm_select();
        $order = new ArrayObject();
        $channel->set_ack_handler(fn ($message) => $order->append('ack ' . $message->getBody()));
        $channel->set_nack_handler(fn ($message) => $order->append('nack ' . $message->getBody()));
        $queue = own($channel, ['x-max-length' => 1, 'x-overflow' => 'reject-publish']);
        foreach (['fits', 'too many'] as $body) {
            $channel->basic_publish(new AMQPMessage($body), '', $queue);
            $channel->wait_for_pending_acks(PATIENCE_S);
        }
        equal((array) $order, ['ack fits', 'nack too many'], 'order');
    }

    // Nacked and rejected messages come back in place and redelivered; recover sends them again.
    public function nack_and_requeue(): void
    {
        $channel = $this->connection->channel();
        $queue = own($channel);
        foreach (['a', 'b', 'c'] as $body) {
            $channel->basic_publish(new AMQPMessage($body), '', $queue);
        }
        $show = fn ($message) => [$message->getBody(), $message->isRedelivered()];
        $channel->basic_get($queue);
        $channel->basic_get($queue)->nack(true, true);
        $again = [$channel->basic_get($queue), $channel->basic_get($queue)];
        equal(array_map($show, $again), [['a', true], ['b', true]], 'again');
        $again[0]->reject(true);
        $again[1]->reject(false);
        $inbox = new ArrayObject();
        consume($channel, $queue, false, $inbox);
        await($channel, $inbox, 2);
        $channel->basic_recover(true);
        await($channel, $inbox, 4);
        equal(array_map($show, (array) $inbox), [['a', true], ['c', false], ['a', true], ['c', true]], 'recovered');
    }

    // Purge and delete count messages; if-unused and if-empty are refused with 406.
    public function purge_and_delete(): void
    {
        $channel = $this->connection->channel();
        $queue = unique('php.purge');
        $channel->queue_declare($queue, false, false, false, false);
        foreach (range(1, 5) as $_) {
            $channel->basic_publish(new AMQPMessage(), '', $queue);
        }
        $class = AMQPProtocolChannelException::class;
        $text = "PRECONDITION_FAILED - queue '$queue' in vhost '/'";
        refused($class, 406, "$text not empty", fn () => $this->connection->channel()->queue_delete($queue, false, true));
        equal($channel->queue_purge($queue), 5, 'purged');
        consume($channel, $queue, true, new ArrayObject());
        refused($class, 406, "$text in use", fn () => $this->connection->channel()->queue_delete($queue, true));
        equal($channel->queue_delete($queue), 0, 'deleted');
    }

    // wait() raises AMQPBasicCancelException when the consumer's queue is deleted.
    public function cancel_notification(): void
    {
        $channel = $this->connection->channel();
        $queue = own($channel);
        consume($channel, $queue, true, new ArrayObject(), 'doomed');
        $this->connection->channel()->queue_delete($queue);
        try {
            $channel->wait(null, false, PATIENCE_S);
        } catch (AMQPBasicCancelException $error) {
            equal($error->consumerTag, 'doomed', 'consumer tag');
            return;
        }
        throw new Exception('not told');
    }

    // What is published in a transaction takes effect at the commit, or never.
    public function transactions(): void
    {
        $channel = $this->connection->channel();
        $other = $this->connection->channel();
        $queue = own($channel);
        $channel->tx_select();
        $channel->basic_publish(new AMQPMessage('rolled back'), '', $queue);
        $channel->tx_rollback();
        $channel->basic_publish(new AMQPMessage('kept'), '', $queue);
        equal(count_of($other, $queue), 0, 'before the commit');
        $channel->tx_commit();
        equal(take($other, $queue), ['kept'], 'after the commit');
    }

    // Exchanges are bound to exchanges, and unbound.
    public function exchange_to_exchange(): void
    {
        $channel = $this->connection->channel();
        [$from, $to] = [unique('php.from'), unique('php.to')];
        $channel->exchange_declare($from, 'topic', false, false, false);
        $channel->exchange_declare($to, 'fanout', false, false, false, true);
        $queue = own($channel);
        $channel->queue_bind($queue, $to);
        $channel->exchange_bind($to, $from, 'order.*');
        foreach (['order.new', 'invoice'] as $key) {
            $channel->basic_publish(new AMQPMessage($key), $from, $key);
        }
        equal(take($channel, $queue), ['order.new'], 'routed');
        $channel->exchange_unbind($to, $from, 'order.*');
        $channel->basic_publish(new AMQPMessage(), $from, 'order.new');
        equal(take($channel, $queue), [], 'routed after the unbind');
        $channel->exchange_delete($from);
        $channel->exchange_delete($to);
    }

    // Channel errors have code and text, and leave other channels alone.
    public function channel_errors(): void
    {
        $healthy = $this->connection->channel();
        $missing = unique('php.missing');
        $cases = [
            [404, "NOT_FOUND - no queue '$missing' in vhost '/'", fn ($channel) => $channel->queue_declare($missing, true)],
            [403, "ACCESS_REFUSED - deletion of system exchange 'amq.nope' in vhost '/' not allowed",
                fn ($channel) => $channel->exchange_delete('amq.nope')],
            [406, 'PRECONDITION_FAILED - unknown delivery tag 9', function ($channel) {
                $channel->basic_ack(9);
                $channel->wait(null, false, PATIENCE_S);
            }],
        ];
        foreach ($cases as [$code, $text, $call]) {
            refused(AMQPProtocolChannelException::class, $code, $text, fn () => $call($this->connection->channel()));
        }
        own($healthy);
    }

    // A connection error is an exception with its code and text.
    public function connection_errors(): void
    {
        refused(
            AMQPConnectionClosedException::class,
            503,
            "COMMAND_INVALID - unknown exchange type 'no-such-type'(40, 10)",
            fn () => $this->connection->channel()->exchange_declare(unique('php'), 'no-such-type')
        );
        equal($this->connection->isConnected(), false, 'connected');
    }

    // Bodies of all sizes around frame-max, and one of 5 MB, arrive unchanged.
    public function body_sizes(): void
    {
        $channel = $this->connection->channel();
        $queue = own($channel);
        $frame = 131072 - 8;
        foreach ([0, 1, $frame - 1, $frame, $frame + 1, 2 * $frame, 5_000_000] as $size) {
            $body = $size > 0 ? random_bytes($size) : '';
            $channel->basic_publish(new AMQPMessage($body), '', $queue);
            equal($channel->basic_get($queue, true)->getBody() === $body, true, "body of $size unchanged");
        }
    }

    // 200 channels work beside each other on one connection, and publish_batch publishes them all.
    public function many_channels(): void
    {
        $channels = array_map(fn () => $this->connection->channel(), range(1, 200));
        $queue = own($channels[0]);
        foreach ($channels as $channel) {
            own($channel);
            $channel->batch_basic_publish(new AMQPMessage('x'), '', $queue);
            $channel->publish_batch();
        }
        foreach (array_slice($channels, 1) as $channel) {
            $channel->close();
        }
        equal(count(take($channels[0], $queue)), 200, 'messages');
    }

    // A wrong password is told with 403.
    public function refused_login(): void
    {
        refused(
            AMQPConnectionClosedException::class,
            403,
            'ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile.(0, 0)',
            fn () => connect($this->url, 'wrong')
        );
    }

    // RPC by direct reply-to.
    public function rpc(): void
    {
        [$server, $client] = [$this->connection->channel(), $this->connection->channel()];
        $requests = own($server);
        [$asked, $replies] = [new ArrayObject(), new ArrayObject()];
        consume($server, $requests, true, $asked);
        consume($client, 'amq.rabbitmq.reply-to', true, $replies);
        foreach (['one', 'two'] as $number => $word) {
            $properties = ['reply_to' => 'amq.rabbitmq.reply-to', 'correlation_id' => $word];
            $client->basic_publish(new AMQPMessage($word, $properties), '', $requests);
            await($server, $asked, $number + 1);
            $request = $asked[$number];
            $answer = new AMQPMessage('re: ' . $request->getBody(), ['correlation_id' => $request->get('correlation_id')]);
            $server->basic_publish($answer, '', $request->get('reply_to'));
            await($client, $replies, $number + 1);
            $reply = $replies[$number];
            equal([$reply->get('correlation_id'), $reply->getBody()], [$word, "re: $word"], 'reply');
        }
    }

    // A rejected message goes to the dead letter queue with x-death, of types php-amqplib reads.
    public function dead_letters(): void
    {
        $channel = $this->connection->channel();
        $dead = own($channel);
        $queue = own($channel, ['x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => $dead]);
        $channel->basic_publish(new AMQPMessage('letter'), '', $queue);
        $channel->basic_get($queue)->reject(false);
        $inbox = new ArrayObject();
        consume($channel, $dead, true, $inbox);
        await($channel, $inbox, 1);
        $death = $inbox[0]->get('application_headers')->getNativeData()['x-death'][0];
        equal(time() - $death['time']->getTimestamp() < 60, true, 'time');
        unset($death['time']);
        ksort($death);
        equal($death, [
            'count' => 1, 'exchange' => '', 'queue' => $queue, 'reason' => 'rejected', 'routing-keys' => [$queue],
        ], 'x-death');
    }

    // A publisher is told that the broker is in alarm.
    public function in_alarm(): void
    {
        $channel = $this->connection->channel();
        $channel->basic_publish(new AMQPMessage(), '', 'nowhere');
        try {
            $channel->wait(null, false, 1);
        } catch (PhpAmqpLib\Exception\AMQPTimeoutException) {
            equal($this->connection->isBlocked(), true, 'blocked');
        }
        try {
            $channel->basic_publish(new AMQPMessage(), '', 'nowhere');
        } catch (AMQPConnectionBlockedException) {
            return;
        }
        throw new Exception('published');
    }

    // A connection over TLS, with the broker's certificate checked.
    public function over_tls(): void
    {
        $this->body_sizes();
        try {
            connect($this->url);
        } catch (Exception $error) {
            equal(str_contains($error->getMessage(), 'Unable to connect to ssl://'), true, $error->getMessage());
            return;
        }
        throw new Exception("the broker's certificate was taken");
    }
}

function run(string $name, string $url, string $authority): string
{
    try {
        $connection = connect($url, authority: $authority);
        (new Checks($connection, $url))->$name();
        if ($name !== 'in_alarm') { // Nothing more is read from a blocked publisher.
            $connection->close();
        }
        return 'ok';
    } catch (Throwable $error) {
        fwrite(STDERR, $error . "\n");
        return strtr('failed: ' . get_class($error) . ' ' . $error->getMessage(), "\n", ' ');
    }
}

while ($line = fgets(STDIN)) {
    [$name, $url] = explode(' ', trim($line), 2);
    echo run($name, $url, $argv[1]), "\n";
}
