// What the checks in WithJava.java are written with: tables, consumers, comparing, waiting.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.FileInputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class JavaTools {
    static final int PATIENCE_MS = 10_000;

    static String authority;

    static Map<String, Object> everyType() {
        Map<String, Object> table = new HashMap<>();
        table.put("text", "żółw");
        table.put("octets", new byte[] {0, (byte) 255, (byte) 206});
        table.put("yes", true);
        table.put("nothing", null);
        table.put("byte", (byte) -100);
        table.put("short", (short) -30000);
        table.put("int", -2000000000);
        table.put("long", 1L << 62);
        table.put("float", 0.5f);
        table.put("double", 0.1);
        table.put("money", new BigDecimal("3.14"));
        table.put("when", new Date(1700000000_000L));
        table.put("list", Arrays.asList(1, "two", Collections.singletonMap("three", Arrays.asList(null, 3.5))));
        table.put("table", Collections.singletonMap("nested", new HashMap<String, Object>()));
        return table;
    }

    // Tables as text, since the client reads texts as LongString and arrays have no equals.
    static String plain(Object value) {
        if (value instanceof Map) {
            List<String> items = new ArrayList<>();
            ((Map<?, ?>) value).forEach((name, item) -> items.add(name + "=" + plain(item)));
            Collections.sort(items);
            return items.toString();
        }
        if (value instanceof List) {
            List<String> items = new ArrayList<>();
            ((List<?>) value).forEach(item -> items.add(plain(item)));
            return items.toString();
        }
        if (value instanceof byte[]) {
            return Arrays.toString((byte[]) value);
        }
        if (value == null) {
            return "null";
        }
        String type = value instanceof LongString ? "String" : value.getClass().getSimpleName();
        return type + ":" + value;
    }

    static class Inbox extends DefaultConsumer {
        final BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        final BlockingQueue<String> cancels = new LinkedBlockingQueue<>();

        Inbox(Channel channel) {
            super(channel);
        }

        @Override
        public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
            deliveries.add(new Delivery(envelope, properties, body));
        }

        @Override
        public void handleCancel(String tag) {
            cancels.add(tag);
        }

        Delivery next() throws InterruptedException {
            return await(deliveries, "a delivery");
        }
    }

    static AMQP.BasicProperties headers(Map<String, Object> headers) {
        return new AMQP.BasicProperties.Builder().headers(headers).build();
    }

    static String own(Channel channel, Map<String, Object> arguments) throws IOException {
        return channel.queueDeclare("", false, true, false, arguments).getQueue();
    }

    static List<String> take(Channel channel, String queue) throws IOException {
        List<String> bodies = new ArrayList<>();
        for (GetResponse got = channel.basicGet(queue, true); got != null; got = channel.basicGet(queue, true)) {
            bodies.add(text(got.getBody()));
        }
        return bodies;
    }

    static void refused(int code, String text, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (IOException error) {
            AMQP.Channel.Close close = (AMQP.Channel.Close) ((ShutdownSignalException) error.getCause()).getReason();
            equal(close.getReplyCode(), code, "code");
            equal(close.getReplyText(), text, "text");
            return;
        }
        throw new AssertionError("not refused: " + text);
    }

    static <T> T await(BlockingQueue<T> source, String what) throws InterruptedException {
        T got = source.poll(PATIENCE_MS, TimeUnit.MILLISECONDS);
        if (got == null) {
            throw new AssertionError("not in time: " + what);
        }
        return got;
    }

    static void equal(Object got, Object expected, String what) {
        if (!expected.equals(got)) {
            throw new AssertionError(what + ": got " + got + ", expected " + expected);
        }
    }

    static byte[] text(Object value) {
        return value.toString().getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] octets) {
        return new String(octets, StandardCharsets.UTF_8);
    }

    static String unique(String stem) {
        return stem + "." + UUID.randomUUID();
    }

    static ConnectionFactory factory(String url) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(url);
        factory.setNetworkRecoveryInterval(200);
        if (url.startsWith("amqps:")) {
            KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
            trusted.load(null);
            trusted.setCertificateEntry("authority",
                CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(authority)));
            TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            managers.init(trusted);
            SSLContext context = SSLContext.getInstance("TLSv1.3");
            context.init(null, managers.getTrustManagers(), null);
            factory.useSslProtocol(context);
        }
        return factory;
    }
}
