// amqplib's checks; with_amqplib.py installs amqplib and runs this, foreign.py says how it is asked.
// NODE_PATH says where amqplib is.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const readline = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const amqp = require('amqplib');

const PATIENCE_MS = 10_000;

const unique = (stem) => `${stem}.${crypto.randomBytes(6).toString('hex')}`;

// Not once() of node:events, which fails where 'error' comes before the event waited for.
const happens = (emitter, name) => new Promise((resolve) => { emitter.once(name, resolve); });

async function within(promise, what) {
  const timer = new AbortController();
  const late = sleep(PATIENCE_MS, null, { signal: timer.signal }).then(() => {
    throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

// A list that can be waited on until it is so long.
class Seen {
  constructor() {
    this.items = [];
    this.waiting = [];
  }

  push(item) {
    this.items.push(item);
    this.waiting.forEach((look) => look());
  }

  atLeast(number, what) {
    const enough = new Promise((resolve) => {
      const look = () => this.items.length >= number && resolve(this.items);
      this.waiting.push(look);
      look();
    });
    return within(enough, `${number} ${what}`);
  }
}

const ownQueue = async (channel, options = {}) =>
  (await channel.assertQueue('', { exclusive: true, ...options })).queue;

async function take(channel, queue) {
  const bodies = [];
  for (let got = await channel.get(queue, { noAck: true }); got; got = await channel.get(queue, { noAck: true })) {
    bodies.push(got.content.toString());
  }
  return bodies;
}

const numbers = (count) => Array.from({ length: count }, (_, number) => String(number));

const checks = {
  // Confirmed messages are consumed in order, never more than the prefetch unacknowledged.
  async confirms_and_consume(connection) {
    const channel = await connection.createConfirmChannel();
    const queue = unique('amqplib.work');
    await channel.assertQueue(queue, { durable: true });
    let confirmed = 0;
    for (const body of numbers(100)) {
      channel.sendToQueue(queue, Buffer.from(body), { persistent: true }, (error) => {
        assert.equal(error, null);
        confirmed += 1;
      });
    }
    await within(channel.waitForConfirms(), 'all confirms');
    assert.equal(confirmed, 100);
    assert.equal((await channel.checkQueue(queue)).messageCount, 100);

    await channel.prefetch(10);
    const seen = new Seen();
    let unacked = 0;
    const { consumerTag } = await channel.consume(queue, (message) => {
      unacked += 1;
      assert.ok(unacked <= 10, 'more than the prefetch was sent');
      assert.equal(message.properties.deliveryMode, 2);
      seen.push(message.content.toString());
      if (unacked === 10) {
        unacked = 0;
        channel.ack(message, true);
      }
    });
    assert.deepEqual(await seen.atLeast(100, 'messages'), numbers(100));
    await channel.cancel(consumerTag);
    assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
  },

  // Nacked messages come back in place and redelivered; ackAll and nackAll mean all of them.
  async nack_and_requeue(connection) {
    const channel = await connection.createChannel();
    const queue = await ownQueue(channel);
    for (const body of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(body));
    const first = await channel.get(queue);
    const second = await channel.get(queue);
    assert.deepEqual([first.fields.redelivered, second.fields.redelivered], [false, false]);
    assert.equal(second.fields.messageCount, 1);
    channel.nackAll(true);
    const again = [await channel.get(queue), await channel.get(queue), await channel.get(queue)];
    assert.deepEqual(again.map((message) => message.content.toString()), ['a', 'b', 'c']);
    assert.deepEqual(again.map((message) => message.fields.redelivered), [true, true, false]);
    channel.reject(again[0], true);
    assert.equal((await channel.get(queue)).content.toString(), 'a');
    channel.ackAll();
    assert.equal(await channel.get(queue), false);
  },

  // basic.recover sends everything unacknowledged again.
  async recover(connection) {
    const channel = await connection.createChannel();
    const queue = await ownQueue(channel);
    channel.sendToQueue(queue, Buffer.from('x'));
    const seen = new Seen();
    await channel.consume(queue, (message) => {
      seen.push(message.fields.redelivered);
      if (message.fields.redelivered) channel.ack(message);
    });
    await seen.atLeast(1, 'delivery');
    await channel.recover();
    assert.deepEqual(await seen.atLeast(2, 'deliveries'), [false, true]);
  },

  // A mandatory message without a queue raises the return event, before its confirm.
  async returns(connection) {
    const channel = await connection.createConfirmChannel();
    const order = [];
    channel.on('return', ({ fields, properties, content }) => {
      order.push([fields.replyCode, fields.replyText, fields.routingKey, properties.type, content.toString()]);
    });
    const key = unique('amqplib.nowhere');
    channel.publish('', key, Buffer.from('back'), { mandatory: true, type: 't' }, () => order.push('confirm'));
    await within(channel.waitForConfirms(), 'the confirm');
    assert.deepEqual(order, [[312, 'NO_ROUTE', key, 't', 'back'], 'confirm']);
  },

  // A full queue that rejects publishes nacks, which rejects the promise of waitForConfirms.
  async nacked_publish(connection) {
    const channel = await connection.createConfirmChannel();
    const queue = await ownQueue(channel, { maxLength: 1, overflow: 'reject-publish' });
    channel.sendToQueue(queue, Buffer.from('fits'));
    await within(channel.waitForConfirms(), 'the ack');
    channel.sendToQueue(queue, Buffer.from('too many'));
    await assert.rejects(within(channel.waitForConfirms(), 'the nack'), /message nacked/);
    assert.deepEqual(await take(channel, queue), ['fits']);
  },

  // An exchange hands what it cannot route to its alternate exchange.
  async alternate_exchange(connection) {
    const channel = await connection.createConfirmChannel();
    const [rest, main] = [unique('amqplib.rest'), unique('amqplib.main')];
    await channel.assertExchange(rest, 'fanout', { autoDelete: true, durable: false });
    await channel.assertExchange(main, 'direct', { autoDelete: true, durable: false, alternateExchange: rest });
    const [routed, unrouted] = [await ownQueue(channel), await ownQueue(channel)];
    await channel.bindQueue(routed, main, 'known');
    await channel.bindQueue(unrouted, rest, '');
    let returned = 0;
    channel.on('return', () => { returned += 1; });
    channel.publish(main, 'known', Buffer.from('1'), { mandatory: true });
    channel.publish(main, 'unknown', Buffer.from('2'), { mandatory: true });
    await within(channel.waitForConfirms(), 'confirms');
    assert.deepEqual([await take(channel, routed), await take(channel, unrouted), returned], [['1'], ['2'], 0]);
  },

  // Topic and headers bindings, exchange to exchange bindings, CC and BCC route as documented.
  async routing(connection) {
    const channel = await connection.createChannel();
    const [topic, headers] = [unique('amqplib.topic'), unique('amqplib.headers')];
    await channel.assertExchange(topic, 'topic', { autoDelete: true });
    await channel.assertExchange(headers, 'headers', { autoDelete: true });
    const [all, some] = [await ownQueue(channel), await ownQueue(channel)];
    await channel.bindQueue(all, topic, '#');
    await channel.bindExchange(headers, topic, 'order.*');
    await channel.bindQueue(some, headers, '', { 'x-match': 'any', rush: true, size: 3 });
    const send = (key, options) => channel.publish(topic, key, Buffer.from(key), options);
    send('order.new', { headers: { rush: true } });
    send('order.old', { headers: { rush: false } });
    send('invoice', { headers: { size: 3 } });
    assert.deepEqual(await take(channel, some), ['order.new']);
    assert.deepEqual(await take(channel, all), ['order.new', 'order.old', 'invoice']);
    channel.publish('', all, Buffer.from('copied'), { CC: [some], BCC: [all] });
    const copy = await channel.get(some, { noAck: true });
    assert.deepEqual(copy.properties.headers, { CC: [some] }, 'BCC is not shown');
    assert.deepEqual(await take(channel, all), ['copied']);
    await channel.unbindExchange(headers, topic, 'order.*');
    send('order.new', { headers: { rush: true } });
    assert.deepEqual(await take(channel, some), []);
  },

  // Channel errors have code, class and text; the connection and other channels live on.
  async channel_errors(connection) {
    const healthy = await connection.createChannel();
    const missing = unique('amqplib.missing');
    const cases = [
      [404, 50, 10, `NOT_FOUND - no queue '${missing}' in vhost '/'`, (c) => c.checkQueue(missing)],
      [404, 40, 10, `NOT_FOUND - no exchange '${missing}' in vhost '/'`, (c) => c.checkExchange(missing)],
      [404, 60, 20, `NOT_FOUND - no queue '${missing}' in vhost '/'`, (c) => c.consume(missing, () => {})],
      [403, 40, 20, "ACCESS_REFUSED - deletion of system exchange 'amq.nope' in vhost '/' not allowed",
        (c) => c.deleteExchange('amq.nope')],
      [406, 60, 80, 'PRECONDITION_FAILED - unknown delivery tag 9',
        (c) => c.ack({ fields: { deliveryTag: 9 } })],
      [404, 60, 40, `NOT_FOUND - no exchange '${missing}' in vhost '/'`,
        (c) => c.publish(missing, 'k', Buffer.from(''))],
    ];
    for (const [code, classId, methodId, text, call] of cases) {
      const channel = await connection.createChannel();
      const failed = happens(channel, 'error');
      const closed = happens(channel, 'close');
      Promise.resolve(call(channel)).catch((error) => assert.match(error.message, new RegExp(`${code}`)));
      const error = await within(failed, text);
      assert.deepEqual([error.code, error.classId, error.methodId], [code, classId, methodId], text);
      assert.ok(error.message.includes(text), error.message);
      await within(closed, 'close event');
    }
    const queue = await ownQueue(healthy);
    healthy.sendToQueue(queue, Buffer.from('fine'));
    assert.deepEqual(await take(healthy, queue), ['fine']);
  },

  // A connection error ends the connection, with code and text, and every channel with it.
  async connection_errors(connection) {
    const channel = await connection.createChannel();
    const queue = await ownQueue(channel);
    await channel.consume(queue, () => {}, { consumerTag: 'twice' });
    const failed = happens(connection, 'error');
    const closed = happens(channel, 'close');
    channel.on('error', () => {});
    channel.consume(queue, () => {}, { consumerTag: 'twice' }).catch(() => {});
    const error = await within(failed, 'the error');
    assert.equal(error.code, 530);
    assert.match(error.message, /NOT_ALLOWED - attempt to reuse consumer tag 'twice'/);
    await within(closed, 'the channel closes');
  },

  // A wrong password is refused with 403 rather than by hanging up.
  async refused_login(_connection, url) {
    const wrong = new URL(url);
    wrong.password = 'wrong';
    await assert.rejects(within(amqp.connect(wrong.href), 'the refusal'),
      /403 \(ACCESS-REFUSED\) with message "ACCESS_REFUSED - Login was refused/);
  },

  // The consumer gets null when its queue is deleted.
  async cancel_notification(connection) {
    const [watching, deleting] = [await connection.createChannel(), await connection.createChannel()];
    const queue = unique('amqplib.doomed');
    await watching.assertQueue(queue);
    const seen = new Seen();
    await watching.consume(queue, (message) => seen.push(message));
    await deleting.deleteQueue(queue);
    assert.deepEqual(await seen.atLeast(1, 'cancel'), [null]);
  },

  // Bodies and headers of any octets, and every header type amqplib can write, come back as sent.
  async binary_and_headers(connection) {
    const channel = await connection.createChannel();
    const queue = await ownQueue(channel);
    const body = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));
    const headers = {
      text: 'żółw', binary: Buffer.from([0, 255, 206]), yes: true, nothing: null,
      byte: -100, short: 30000, int: -2000000000, long: 2 ** 50, double: 0.1,
      list: [1, 'two', { three: [null, 3.5] }], table: { nested: { empty: {} } },
      when: { '!': 'timestamp', value: 1700000000 },
      money: { '!': 'decimal', value: { digits: 314, places: 2 } },
      float: { '!': 'float', value: 0.5 },
      tiny: { '!': 'int8', value: -1 },
    };
    channel.sendToQueue(queue, body, {
      headers, contentType: 'application/octet-stream', contentEncoding: 'none', persistent: true,
      priority: 9, correlationId: 'c', replyTo: 'r', expiration: 60000, messageId: 'm',
      timestamp: 1700000000, type: 't', appId: 'a',
    });
    const got = await channel.get(queue, { noAck: true });
    assert.deepEqual(got.content, body);
    assert.deepEqual({ ...got.properties.headers }, { ...headers, float: 0.5, tiny: -1 });
    const { headers: _, ...properties } = got.properties;
    assert.deepEqual(properties, {
      contentType: 'application/octet-stream', contentEncoding: 'none', deliveryMode: 2,
      priority: 9, correlationId: 'c', replyTo: 'r', expiration: '60000', messageId: 'm',
      timestamp: 1700000000, type: 't', userId: undefined, appId: 'a', clusterId: undefined,
    });
  },

  // Bodies of all sizes around the frame size, and one of 5 MB, arrive unchanged.
  async body_sizes(connection) {
    const channel = await connection.createConfirmChannel();
    const queue = await ownQueue(channel);
    const frame = connection.connection.frameMax - 8;
    const sizes = [0, 1, frame - 1, frame, frame + 1, 2 * frame, 5_000_000];
    const bodies = sizes.map((size) => crypto.randomBytes(size));
    for (const body of bodies) channel.sendToQueue(queue, body);
    await within(channel.waitForConfirms(), 'confirms');
    for (const body of bodies) {
      const got = await channel.get(queue, { noAck: true });
      assert.equal(got.content.length, body.length);
      assert.ok(got.content.equals(body), `a body of ${body.length} changed`);
    }
  },

  // RPC by direct reply-to and by an exclusive reply queue.
  async rpc(connection) {
    const [server, client] = [await connection.createChannel(), await connection.createChannel()];
    const requests = await ownQueue(server);
    await server.consume(requests, (message) => {
      const { replyTo, correlationId } = message.properties;
      const answer = String(Number(message.content) ** 2);
      server.sendToQueue(replyTo, Buffer.from(answer), { correlationId });
      server.ack(message);
    });
    for (const replyTo of [await ownQueue(client), 'amq.rabbitmq.reply-to']) {
      const replies = new Seen();
      await client.consume(replyTo, (message) => {
        replies.push([message.properties.correlationId, message.content.toString()]);
      }, { noAck: true });
      for (const number of [3, 12]) {
        client.sendToQueue(requests, Buffer.from(String(number)), { replyTo, correlationId: `n${number}` });
      }
      assert.deepEqual(await replies.atLeast(2, `replies by ${replyTo}`), [['n3', '9'], ['n12', '144']]);
    }
  },

  // Queue arguments as amqplib names them: TTL, dead letters, priorities, expiry.
  async queue_arguments(connection) {
    const channel = await connection.createChannel();
    const dead = await ownQueue(channel);
    const ttl = await ownQueue(channel, { messageTtl: 50, deadLetterExchange: '', deadLetterRoutingKey: dead });
    channel.sendToQueue(ttl, Buffer.from('expired'));
    const seen = new Seen();
    await channel.consume(dead, (message) => seen.push(message), { noAck: true });
    const [letter] = await seen.atLeast(1, 'dead letter');
    assert.equal(letter.content.toString(), 'expired');
    const [death] = letter.properties.headers['x-death'];
    assert.deepEqual([death.reason, death.queue, death.count], ['expired', ttl, 1]);

    const urgent = await ownQueue(channel, { maxPriority: 5 });
    for (const priority of [1, 5, 3]) {
      channel.sendToQueue(urgent, Buffer.from(String(priority)), { priority });
    }
    assert.deepEqual(await take(channel, urgent), ['5', '3', '1']);

    const brief = unique('amqplib.brief');
    await channel.assertQueue(brief, { expires: 200 });
    await sleep(800);
    const other = await connection.createChannel();
    other.on('error', () => {});
    await assert.rejects(other.checkQueue(brief), /404/);
  },

  // A short heartbeat keeps an idle connection.
  async heartbeat(_connection, url) {
    const connection = await amqp.connect(`${url}?heartbeat=1`);
    let failure = null;
    connection.on('error', (error) => { failure = error; });
    assert.equal(connection.connection.heartbeat, 1);
    await sleep(3500);
    assert.equal(failure, null);
    const channel = await connection.createChannel();
    assert.equal(await channel.get(await ownQueue(channel)), false);
    await connection.close();
  },
};

async function run(name, url) {
  const connection = await amqp.connect(url);
  connection.on('error', () => {});
  try {
    await checks[name](connection, url);
  } finally {
    await connection.close().catch(() => {});
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await run(...line.split(' ')).then(() => 'ok', (error) => {
      console.error(error);
      return `failed: ${error.message.replaceAll('\n', ' ')}`;
    });
    console.log(answer);
  }
}

main();
