// The Java client's checks; with_java.py compiles and runs this, foreign.py says how it is asked.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.BlockedListener;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;

public class WithJava extends JavaTools {
    static final BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    final ConnectionFactory factory;
    final Connection connection;

    WithJava(ConnectionFactory factory) throws Exception {
        this.factory = factory;
        this.connection = factory.newConnection();
    }

    // Publishers wait for confirms; a consumer never has more than its prefetch unacknowledged.
    public void confirmsAndConsume() throws Exception {
        Channel channel = connection.createChannel();
        String queue = unique("java.work");
        channel.queueDeclare(queue, true, false, false, null);
        channel.confirmSelect();
        for (int number = 0; number < 100; number++) {
            channel.basicPublish("", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, text(number));
        }
        channel.waitForConfirmsOrDie(PATIENCE_MS);
        equal(channel.messageCount(queue), 100L, "messages");
        channel.basicQos(10);
        Inbox inbox = new Inbox(channel);
        String tag = channel.basicConsume(queue, false, inbox);
        for (int number = 0; number < 100; number++) {
            Delivery delivery = inbox.next();
            equal(text(delivery.getBody()), "" + number, "order");
            equal(delivery.getProperties().getDeliveryMode(), 2, "delivery mode");
            if (number % 10 == 9) {
                equal(inbox.deliveries.size(), 0, "sent beyond the prefetch");
                channel.basicAck(delivery.getEnvelope().getDeliveryTag(), true);
            }
        }
        channel.basicCancel(tag);
        equal(channel.queueDelete(queue).getMessageCount(), 0, "messages left");
    }

    // Arguments of every type the client can write are taken, and are the same when declared again.
    public void arguments() throws Exception {
        Channel channel = connection.createChannel();
        Map<String, Object> arguments = new HashMap<>();
        everyType().forEach((name, value) -> arguments.put("own-" + name, value));
        arguments.put("x-max-length", (short) 5);
        String queue = unique("java.arguments");
        String exchange = unique("java.exchange");
        for (int again = 0; again < 2; again++) {
            channel.queueDeclare(queue, false, true, false, arguments);
            channel.exchangeDeclare(exchange, "headers", false, true, everyType());
            channel.queueBind(queue, exchange, "key", everyType());
        }
        channel.basicPublish(exchange, "", headers(everyType()), text("all"));
        channel.basicPublish(exchange, "", headers(Collections.singletonMap("text", "x")), text("some"));
        equal(take(channel, queue), Arrays.asList("all"), "messages with all headers");
        channel.queueUnbind(queue, exchange, "key", everyType());
        refused(404, "NOT_FOUND - no exchange '" + exchange + "' in vhost '/'",
            () -> channel.exchangeDeclarePassive(exchange));
        arguments.put("x-max-length", 6);
        refused(406, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '" + queue
            + "' in vhost '/': received '6' but current is '5'",
            () -> connection.createChannel().queueDeclare(queue, false, true, false, arguments));
    }

    // All properties, and headers of every type the client can write, come back as they were sent.
    public void propertiesAndHeaders() throws Exception {
        Channel channel = connection.createChannel();
        String queue = own(channel, null);
        AMQP.BasicProperties sent = new AMQP.BasicProperties.Builder()
            .contentType("text/plain").contentEncoding("utf-8").headers(everyType()).deliveryMode(1)
            .priority(9).correlationId("c").replyTo("r").expiration("60000").messageId("m")
            .timestamp(new Date(1700000000_000L)).type("t").userId("guest").appId("a").clusterId("i").build();
        channel.basicPublish("", queue, sent, text("body"));
        GetResponse got = channel.basicGet(queue, true);
        equal(plain(got.getProps().getHeaders()), plain(everyType()), "headers");
        AMQP.BasicProperties back = got.getProps().builder().headers(null).build();
        equal(back.toString(), sent.builder().headers(null).build().toString(), "properties");
        equal(got.getEnvelope().getRoutingKey(), queue, "routing key");
        equal(got.getMessageCount(), 0, "messages left");
    }

    // A mandatory message without a queue comes back before its confirm.
    public void returns() throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        BlockingQueue<String> order = new LinkedBlockingQueue<>();
        channel.addReturnListener((code, reason, exchange, key, properties, body) ->
            order.add(code + reason + exchange + key + properties.getType() + text(body)));
        channel.addConfirmListener((tag, multiple) -> order.add("ack"), (tag, multiple) -> order.add("nack"));
        String key = unique("java.nowhere");
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder().type("t").build();
        channel.basicPublish("", key, true, properties, text("back"));
        equal(await(order, "the return"), "312NO_ROUTE" + key + "t" + "back", "return");
        equal(await(order, "the confirm"), "ack", "confirm");
    }

    // A full queue that rejects publishes nacks, which waitForConfirms tells.
    public void nackedPublish() throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        Map<String, Object> arguments = new HashMap<>();
        arguments.put("x-max-length", 1);
        arguments.put("x-overflow", "reject-publish");
        String queue = own(channel, arguments);
        channel.basicPublish("", queue, null, text("fits"));
        equal(channel.waitForConfirms(PATIENCE_MS), true, "confirmed");
        channel.basicPublish("", queue, null, text("too many"));
        equal(channel.waitForConfirms(PATIENCE_MS), false, "confirmed");
    }

    // Nacked and rejected messages come back in place and redelivered; recover sends them again.
    public void nackAndRequeue() throws Exception {
        Channel channel = connection.createChannel();
        String queue = own(channel, null);
        for (String body : new String[] {"a", "b", "c"}) {
            channel.basicPublish("", queue, null, text(body));
        }
        channel.basicGet(queue, false);
        GetResponse second = channel.basicGet(queue, false);
        equal(second.getMessageCount(), 1, "messages left");
        channel.basicNack(second.getEnvelope().getDeliveryTag(), true, true);
        GetResponse first = channel.basicGet(queue, false);
        equal(text(first.getBody()) + first.getEnvelope().isRedeliver(), "atrue", "again");
        second = channel.basicGet(queue, false);
        equal(text(second.getBody()) + second.getEnvelope().isRedeliver(), "btrue", "again");
        channel.basicReject(first.getEnvelope().getDeliveryTag(), true);
        channel.basicReject(second.getEnvelope().getDeliveryTag(), false);
        Inbox inbox = new Inbox(channel);
        channel.basicConsume(queue, false, inbox);
        equal(text(inbox.next().getBody()) + text(inbox.next().getBody()), "ac", "consumed");
        channel.basicRecover(true);
        for (String body : new String[] {"a", "c"}) {
            Delivery again = inbox.next();
            equal(text(again.getBody()) + again.getEnvelope().isRedeliver(), body + "true", "recovered");
        }
    }

    // Purge and delete count messages; if-unused and if-empty are refused with 406.
    public void purgeAndDelete() throws Exception {
        Channel channel = connection.createChannel();
        String queue = unique("java.purge");
        channel.queueDeclare(queue, false, false, false, null);
        for (int number = 0; number < 5; number++) {
            channel.basicPublish("", queue, null, text(number));
        }
        refused(406, "PRECONDITION_FAILED - queue '" + queue + "' in vhost '/' not empty",
            () -> connection.createChannel().queueDelete(queue, false, true));
        equal(channel.queuePurge(queue).getMessageCount(), 5, "purged");
        channel.basicConsume(queue, new Inbox(channel));
        refused(406, "PRECONDITION_FAILED - queue '" + queue + "' in vhost '/' in use",
            () -> connection.createChannel().queueDelete(queue, true, false));
        equal(channel.queueDelete(queue).getMessageCount(), 0, "deleted");
    }

    // A consumer's handleCancel is called when its queue is deleted.
    public void cancelNotification() throws Exception {
        Channel channel = connection.createChannel();
        String queue = own(channel, null);
        Inbox inbox = new Inbox(channel);
        String tag = channel.basicConsume(queue, inbox);
        connection.createChannel().queueDelete(queue);
        equal(await(inbox.cancels, "the notification"), tag, "consumer tag");
    }

    // What is published and acked in a transaction takes effect at the commit, or never.
    public void transactions() throws Exception {
        Channel channel = connection.createChannel();
        Channel other = connection.createChannel();
        String queue = own(channel, null);
        channel.txSelect();
        channel.basicPublish("", queue, null, text("rolled back"));
        channel.txRollback();
        channel.basicPublish("", queue, null, text("kept"));
        equal(other.messageCount(queue), 0L, "before the commit");
        channel.txCommit();
        equal(take(other, queue), Arrays.asList("kept"), "after the commit");
    }

    // Exchanges are bound to exchanges, and unbound.
    public void exchangeToExchange() throws Exception {
        Channel channel = connection.createChannel();
        String from = unique("java.from");
        String to = unique("java.to");
        channel.exchangeDeclare(from, "topic");
        channel.exchangeDeclare(to, "fanout", false, false, true, null);
        String queue = own(channel, null);
        channel.queueBind(queue, to, "");
        channel.exchangeBind(to, from, "order.*");
        channel.basicPublish(from, "order.new", null, text("1"));
        channel.basicPublish(from, "invoice", null, text("2"));
        equal(take(channel, queue), Arrays.asList("1"), "routed");
        channel.exchangeUnbind(to, from, "order.*");
        channel.basicPublish(from, "order.new", null, text("3"));
        equal(take(channel, queue), Arrays.asList(), "routed after the unbind");
        channel.exchangeDelete(from);
        channel.exchangeDelete(to);
    }

    // Channel errors have code, class, method and text, and leave other channels alone.
    public void channelErrors() throws Exception {
        String missing = unique("java.missing");
        Channel healthy = connection.createChannel();
        refused(404, "NOT_FOUND - no queue '" + missing + "' in vhost '/'",
            () -> connection.createChannel().queueDeclarePassive(missing));
        refused(403, "ACCESS_REFUSED - deletion of system exchange 'amq.nope' in vhost '/' not allowed",
            () -> connection.createChannel().exchangeDelete("amq.nope"));
        BlockingQueue<ShutdownSignalException> ends = new LinkedBlockingQueue<>();
        Channel channel = connection.createChannel();
        channel.addShutdownListener(ends::add);
        channel.basicAck(9, false);
        AMQP.Channel.Close close = (AMQP.Channel.Close) await(ends, "the channel's end").getReason();
        equal(close.getReplyText(), "PRECONDITION_FAILED - unknown delivery tag 9", "text");
        equal(close.getReplyCode() * 10000 + close.getClassId() * 100 + close.getMethodId(), 4066080, "code");
        try {
            channel.basicQos(1);
            throw new AssertionError("the channel goes on");
        } catch (AlreadyClosedException expected) {
            equal(channel.isOpen(), false, "open");
        }
        own(healthy, null);
    }

    // A connection error ends the connection with its code and text, and all channels.
    public void connectionErrors() throws Exception {
        Channel channel = connection.createChannel();
        BlockingQueue<ShutdownSignalException> ends = new LinkedBlockingQueue<>();
        channel.addShutdownListener(ends::add);
        try {
            connection.createChannel().exchangeDeclare(unique("java"), "no-such-type");
            throw new AssertionError("declared");
        } catch (IOException error) {
            ShutdownSignalException signal = (ShutdownSignalException) error.getCause();
            AMQP.Connection.Close close = (AMQP.Connection.Close) signal.getReason();
            equal(signal.isHardError(), true, "hard error");
            equal(close.getReplyCode(), 503, "code");
            equal(close.getReplyText(), "COMMAND_INVALID - unknown exchange type 'no-such-type'", "text");
        }
        equal(await(ends, "the other channel's end").isHardError(), true, "hard error");
    }

    // Bodies of all sizes around frame-max, and one of 5 MB, arrive unchanged.
    public void bodySizes() throws Exception {
        Channel channel = connection.createChannel();
        String queue = own(channel, null);
        int frame = connection.getFrameMax() - 8;
        for (int size : new int[] {0, 1, frame - 1, frame, frame + 1, 2 * frame, 5_000_000}) {
            byte[] body = new byte[size];
            new Random(size).nextBytes(body);
            channel.basicPublish("", queue, null, body);
            equal(Arrays.equals(channel.basicGet(queue, true).getBody(), body), true, "body of " + size);
        }
    }

    // 200 channels work beside each other on one connection.
    public void manyChannels() throws Exception {
        List<Channel> channels = new ArrayList<>();
        String queue = own(connection.createChannel(), null);
        for (int number = 0; number < 200; number++) {
            channels.add(connection.createChannel());
            own(channels.get(number), null);
            channels.get(number).basicPublish("", queue, null, text(number));
        }
        for (Channel channel : channels) {
            channel.close();
        }
        equal(take(connection.createChannel(), queue).size(), 200, "messages");
    }

    // Threads publish at once, each waiting for its confirms, on channels of one connection.
    public void manyPublishers() throws Exception {
        String queue = own(connection.createChannel(), null);
        ExecutorService threads = Executors.newFixedThreadPool(8);
        List<Future<Boolean>> all = new ArrayList<>();
        for (int number = 0; number < 8; number++) {
            all.add(threads.submit(() -> {
                Channel channel = connection.createChannel();
                channel.confirmSelect();
                for (int count = 0; count < 50; count++) {
                    channel.basicPublish("", queue, true, null, new byte[count]);
                    channel.waitForConfirmsOrDie(PATIENCE_MS);
                }
                return true;
            }));
        }
        for (Future<Boolean> one : all) {
            equal(one.get(30, TimeUnit.SECONDS), true, "published");
        }
        threads.shutdown();
        equal(connection.createChannel().messageCount(queue), 400L, "messages");
    }

    // A wrong password is the client's own AuthenticationFailureException, with the broker's text.
    public void refusedLogin() throws Exception {
        ConnectionFactory wrong = factory.clone();
        wrong.setPassword("wrong");
        try {
            wrong.newConnection();
            throw new AssertionError("logged in");
        } catch (AuthenticationFailureException error) {
            equal(error.getMessage(), "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
                + " For details see the broker logfile.", "text");
        }
    }

    // The client's own RpcClient and RpcServer, by direct reply-to.
    public void rpc() throws Exception {
        Channel channel = connection.createChannel();
        String requests = own(channel, null);
        RpcServer server = new RpcServer(channel, requests) {
            @Override
            public byte[] handleCall(byte[] body, AMQP.BasicProperties replyProperties) {
                return text("re: " + text(body));
            }
        };
        ExecutorService serving = Executors.newSingleThreadExecutor();
        serving.submit(server::mainloop);
        RpcClient client = new RpcClient(connection.createChannel(), "", requests, PATIENCE_MS);
        for (String word : new String[] {"one", "two"}) {
            equal(client.stringCall(word), "re: " + word, "reply");
        }
        client.close();
        serving.shutdownNow();
    }

    // A rejected message goes to the dead letter queue with x-death, of types the client reads.
    public void deadLetters() throws Exception {
        Channel channel = connection.createChannel();
        String dead = own(channel, null);
        Map<String, Object> arguments = new HashMap<>();
        arguments.put("x-dead-letter-exchange", "");
        arguments.put("x-dead-letter-routing-key", dead);
        String queue = own(channel, arguments);
        channel.basicPublish("", queue, null, text("letter"));
        channel.basicReject(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
        Inbox inbox = new Inbox(channel);
        channel.basicConsume(dead, true, inbox);
        Map<String, Object> found = inbox.next().getProperties().getHeaders();
        Map<?, ?> death = (Map<?, ?>) ((List<?>) found.get("x-death")).get(0);
        equal(death.get("count"), 1L, "count");
        equal(death.get("reason").toString() + death.get("queue") + death.get("routing-keys"),
            "rejected" + queue + "[" + queue + "]", "x-death");
        equal(new Date().getTime() - ((Date) death.get("time")).getTime() < 60_000, true, "time");
    }

    // An idle connection with a heartbeat of a second lives on, since both sides send heartbeats.
    public void heartbeat() throws Exception {
        ConnectionFactory quick = factory.clone();
        quick.setRequestedHeartbeat(1);
        Connection idle = quick.newConnection();
        equal(idle.getHeartbeat(), 1, "heartbeat");
        Thread.sleep(3500);
        own(idle.createChannel(), null);
        idle.close();
    }

    // A publisher is told that the broker is in alarm.
    public void inAlarm() throws Exception {
        BlockingQueue<String> reasons = new LinkedBlockingQueue<>();
        connection.addBlockedListener(new BlockedListener() {
            @Override
            public void handleBlocked(String reason) {
                reasons.add(reason);
            }

            @Override
            public void handleUnblocked() {
                reasons.add("unblocked");
            }
        });
        connection.createChannel().basicPublish("", "nowhere", null, new byte[0]);
        equal(await(reasons, "connection.blocked"), "low on disk", "reason");
        connection.abort(100);
    }

    // A connection over TLS, with the broker's certificate checked.
    public void overTls() throws Exception {
        bodySizes();
        ConnectionFactory strict = factory.clone();
        strict.useSslProtocol(SSLContext.getDefault());
        try {
            strict.newConnection();
            throw new AssertionError("the broker's certificate was taken");
        } catch (SSLHandshakeException expected) {
            equal(connection.isOpen(), true, "open");
        }
    }

    // The client connects again by itself after a restart, and declares what it had and consumes.
    public void afterRestart() throws Exception {
        Channel channel = connection.createChannel();
        String exchange = unique("java.exchange");
        channel.exchangeDeclare(exchange, "direct", false, true, null);
        String own = own(channel, null);
        channel.queueBind(own, exchange, "key");
        Inbox inbox = new Inbox(channel);
        channel.basicConsume(own, true, inbox);
        String kept = unique("java.kept");
        channel.queueDeclare(kept, true, false, false, null);
        channel.confirmSelect();
        channel.basicPublish("", kept, MessageProperties.PERSISTENT_BASIC, text("kept"));
        channel.waitForConfirmsOrDie(PATIENCE_MS);
        BlockingQueue<ShutdownSignalException> ends = new LinkedBlockingQueue<>();
        connection.addShutdownListener(ends::add);
        BlockingQueue<String> recovered = new LinkedBlockingQueue<>();
        ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
            @Override
            public void handleRecovery(Recoverable recoverable) {
                recovered.add("recovered");
            }

            @Override
            public void handleRecoveryStarted(Recoverable recoverable) {
            }
        });
        ask("restart");
        Method close = await(ends, "the connection's end").getReason();
        equal(((AMQP.Connection.Close) close).getReplyCode(), 320, "code");
        await(recovered, "recovery");
        channel.basicPublish(exchange, "key", true, null, text("again"));
        channel.waitForConfirmsOrDie(PATIENCE_MS);
        equal(text(inbox.next().getBody()), "again", "routed as before");
        equal(take(channel, kept), Arrays.asList("kept"), "messages");
        channel.queueDelete(kept);
    }

    static void ask(String word) throws IOException {
        System.out.println(word);
        input.readLine();
    }

    static String run(String name, String url) {
        try {
            WithJava client = new WithJava(factory(url));
            try {
                WithJava.class.getMethod(name).invoke(client);
            } finally {
                client.connection.abort(1000);
            }
            return "ok";
        } catch (Exception error) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            cause.printStackTrace();
            return ("failed: " + cause).replace('\n', ' ');
        }
    }

    public static void main(String[] words) throws Exception {
        authority = words[0];
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] asked = line.split(" ", 2);
            System.out.println(run(asked[0], asked[1]));
        }
        System.exit(0);
    }
}
