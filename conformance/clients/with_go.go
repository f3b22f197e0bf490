// amqp091-go's checks; with_go.py compiles and runs this, foreign.py says how it is asked.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var authority string

// Checks are called by name.
type Checks struct{}

// Publishers confirm in order; a consumer never has more than its prefetch unacknowledged.
func (Checks) ConfirmsAndConsume(connection *amqp.Connection, _ string) {
	channel := open(connection)
	confirms := confirming(channel)
	queue := unique("go.work")
	value(channel.QueueDeclare(queue, true, false, false, false, nil))
	for number := 0; number < 100; number++ {
		publish(channel, "", queue, amqp.Publishing{
			DeliveryMode: amqp.Persistent, Body: []byte(strconv.Itoa(number)),
		})
	}
	for number := 1; number <= 100; number++ {
		confirm := await(confirms, "a confirm")
		equal(confirm, amqp.Confirmation{DeliveryTag: uint64(number), Ack: true}, "confirm")
	}
	equal(value(channel.QueueInspect(queue)).Messages, 100, "messages")
	must(channel.Qos(10, 0, false))
	deliveries := value(channel.Consume(queue, "tag", false, false, false, false, nil))
	for number := 0; number < 100; number++ {
		delivery := await(deliveries, "a delivery")
		equal(string(delivery.Body), strconv.Itoa(number), "order")
		equal(delivery.DeliveryMode, amqp.Persistent, "delivery mode")
		if number%10 == 9 {
			select {
			case <-deliveries:
				panic("more than the prefetch was sent")
			case <-time.After(time.Millisecond):
			}
			must(delivery.Ack(true))
		}
	}
	must(channel.Cancel("tag", false))
	equal(value(channel.QueueDelete(queue, false, false, false)), 0, "messages left")
}

// Arguments of every type amqp091-go can write are taken, and are the same when declared again.
func (Checks) Arguments(connection *amqp.Connection, _ string) {
	channel := open(connection)
	arguments := amqp.Table{"x-max-length": int16(5), "x-max-priority": int32(3)}
	for name, argument := range everyType() {
		arguments["own-"+name] = argument
	}
	queue := unique("go.arguments")
	exchange := unique("go.exchange")
	for again := 0; again < 2; again++ {
		value(channel.QueueDeclare(queue, false, false, true, false, arguments))
		must(channel.ExchangeDeclare(exchange, "headers", false, true, false, false, everyType()))
		must(channel.QueueBind(queue, "key", exchange, false, everyType()))
	}
	publish(channel, exchange, "", amqp.Publishing{Headers: everyType(), Body: []byte("all")})
	publish(channel, exchange, "", amqp.Publishing{Headers: amqp.Table{"text": "x"}})
	equal(take(channel, queue), []string{"all"}, "messages with all headers")
	must(channel.QueueUnbind(queue, "key", exchange, everyType()))
	failure := fails[*amqp.Error](channel.ExchangeDeclarePassive(exchange, "headers", false, true, false, false, nil))
	equal(failure.Code, amqp.NotFound, "an auto-delete exchange after its last binding")
	_, err := open(connection).QueueDeclare(queue, false, false, true, false, amqp.Table{"x-max-length": 6})
	equal(fails[*amqp.Error](err).Code, amqp.PreconditionFailed, "other arguments")
}

// All properties, and headers of every type amqp091-go can write, come back as they were sent.
func (Checks) PropertiesAndHeaders(connection *amqp.Connection, _ string) {
	channel := open(connection)
	queue := own(channel, nil)
	sent := amqp.Publishing{
		Headers: everyType(), ContentType: "text/plain", ContentEncoding: "utf-8",
		DeliveryMode: amqp.Transient, Priority: 9, CorrelationId: "c", ReplyTo: "r",
		Expiration: "60000", MessageId: "m", Timestamp: time.Unix(1700000000, 0), Type: "t",
		UserId: "guest", AppId: "a", Body: []byte("body"),
	}
	publish(channel, "", queue, sent)
	got, found, err := channel.Get(queue, true)
	must(err)
	equal(found, true, "found")
	equal(got.Headers, sent.Headers, "headers")
	equal(amqp.Publishing{
		Headers: got.Headers, ContentType: got.ContentType, ContentEncoding: got.ContentEncoding,
		DeliveryMode: got.DeliveryMode, Priority: got.Priority, CorrelationId: got.CorrelationId,
		ReplyTo: got.ReplyTo, Expiration: got.Expiration, MessageId: got.MessageId,
		Timestamp: got.Timestamp, Type: got.Type, UserId: got.UserId, AppId: got.AppId, Body: got.Body,
	}, sent, "message")
	equal([]any{got.Exchange, got.RoutingKey, got.Redelivered, got.MessageCount}, []any{"", queue, false, uint32(0)}, "fields")
}

// A mandatory message without a queue comes back before its confirm.
func (Checks) Returns(connection *amqp.Connection, _ string) {
	channel := open(connection)
	confirms := confirming(channel)
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	key := unique("go.nowhere")
	must(channel.PublishWithContext(context.Background(), "", key, true, false, amqp.Publishing{Type: "t", Body: []byte("back")}))
	equal(await(confirms, "the confirm").Ack, true, "ack")
	select {
	case back := <-returns:
		equal([]any{back.ReplyCode, back.ReplyText, back.RoutingKey, back.Type, string(back.Body)},
			[]any{uint16(312), "NO_ROUTE", key, "t", "back"}, "return")
	default:
		panic("the confirm came before the return")
	}
}

// Nacked and rejected messages come back in place and redelivered; recover sends them again.
func (Checks) NackAndRequeue(connection *amqp.Connection, _ string) {
	channel := open(connection)
	queue := own(channel, nil)
	for _, body := range []string{"a", "b", "c"} {
		publish(channel, "", queue, amqp.Publishing{Body: []byte(body)})
	}
	get(channel, queue)
	second := get(channel, queue)
	equal(second.MessageCount, uint32(1), "messages left")
	must(second.Nack(true, true))
	again := []amqp.Delivery{get(channel, queue), get(channel, queue)}
	equal([]any{string(again[0].Body), again[0].Redelivered}, []any{"a", true}, "again")
	equal([]any{string(again[1].Body), again[1].Redelivered}, []any{"b", true}, "again")
	must(again[0].Reject(true))
	must(again[1].Reject(false))
	equal(string(get(channel, queue).Body), "a", "rejected with requeue")
	deliveries := value(channel.Consume(queue, "", false, false, false, false, nil))
	equal(string(await(deliveries, "c").Body), "c", "consumed")
	must(channel.Recover(true))
	for _, body := range []string{"a", "c"} {
		again := await(deliveries, "recovered")
		equal([]any{string(again.Body), again.Redelivered}, []any{body, true}, "recovered")
	}
}

// Purge and delete count messages; if-unused and if-empty are refused with 406.
func (Checks) PurgeAndDelete(connection *amqp.Connection, _ string) {
	channel := open(connection)
	queue := unique("go.purge")
	value(channel.QueueDeclare(queue, false, false, false, false, nil))
	for number := 0; number < 5; number++ {
		publish(channel, "", queue, amqp.Publishing{})
	}
	_, err := open(connection).QueueDelete(queue, false, true, false)
	equal(fails[*amqp.Error](err).Reason, fmt.Sprintf("PRECONDITION_FAILED - queue '%s' in vhost '/' not empty", queue), "text")
	equal(value(channel.QueuePurge(queue, false)), 5, "purged")
	value(channel.Consume(queue, "", true, false, false, false, nil))
	_, err = open(connection).QueueDelete(queue, true, false, false)
	equal(fails[*amqp.Error](err).Reason, fmt.Sprintf("PRECONDITION_FAILED - queue '%s' in vhost '/' in use", queue), "text")
	equal(value(channel.QueueDelete(queue, false, false, false)), 0, "deleted")
}

// A consumer is told that its queue was deleted, and its deliveries end.
func (Checks) CancelNotification(connection *amqp.Connection, _ string) {
	channel := open(connection)
	queue := own(channel, nil)
	cancels := channel.NotifyCancel(make(chan string, 1))
	deliveries := value(channel.Consume(queue, "doomed", true, false, false, false, nil))
	value(open(connection).QueueDelete(queue, false, false, false))
	equal(await(cancels, "the notification"), "doomed", "consumer tag")
	_, open := <-deliveries
	equal(open, false, "deliveries go on")
}

// What is published and acked in a transaction takes effect at the commit, or never.
func (Checks) Transactions(connection *amqp.Connection, _ string) {
	channel, other := open(connection), open(connection)
	queue := own(channel, nil)
	must(channel.Tx())
	publish(channel, "", queue, amqp.Publishing{Body: []byte("rolled back")})
	must(channel.TxRollback())
	publish(channel, "", queue, amqp.Publishing{Body: []byte("kept")})
	equal(value(other.QueueInspect(queue)).Messages, 0, "before the commit")
	must(channel.TxCommit())
	equal(take(other, queue), []string{"kept"}, "after the commit")
}

// Exchanges are bound to exchanges, and unbound.
func (Checks) ExchangeToExchange(connection *amqp.Connection, _ string) {
	channel := open(connection)
	from, to := unique("go.from"), unique("go.to")
	must(channel.ExchangeDeclare(from, "topic", false, false, false, false, nil))
	must(channel.ExchangeDeclare(to, "fanout", false, false, true, false, nil))
	queue := own(channel, nil)
	must(channel.QueueBind(queue, "", to, false, nil))
	must(channel.ExchangeBind(to, "order.*", from, false, nil))
	for _, key := range []string{"order.new", "invoice"} {
		publish(channel, from, key, amqp.Publishing{Body: []byte(key)})
	}
	equal(take(channel, queue), []string{"order.new"}, "routed")
	must(channel.ExchangeUnbind(to, "order.*", from, false, nil))
	publish(channel, from, "order.new", amqp.Publishing{})
	equal(take(channel, queue), []string{}, "routed after the unbind")
	must(channel.ExchangeDelete(from, false, false))
	must(channel.ExchangeDelete(to, false, false))
}

// Channel errors have code and text, and leave other channels alone.
func (Checks) ChannelErrors(connection *amqp.Connection, _ string) {
	missing := unique("go.missing")
	for _, wrong := range []struct {
		code int
		text string
		call func(*amqp.Channel)
	}{
		{404, "NOT_FOUND - no queue '" + missing + "' in vhost '/'", func(c *amqp.Channel) { c.QueueInspect(missing) }},
		{404, "NOT_FOUND - no exchange '" + missing + "' in vhost '/'", func(c *amqp.Channel) {
			publish(c, missing, "", amqp.Publishing{})
		}},
		{403, "ACCESS_REFUSED - deletion of system exchange 'amq.nope' in vhost '/' not allowed", func(c *amqp.Channel) {
			c.ExchangeDelete("amq.nope", false, false)
		}},
		{406, "PRECONDITION_FAILED - unknown delivery tag 9", func(c *amqp.Channel) { c.Ack(9, false) }},
	} {
		channel := open(connection)
		closed := channel.NotifyClose(make(chan *amqp.Error, 1))
		wrong.call(channel)
		failure := await(closed, wrong.text)
		equal([]any{failure.Code, failure.Reason, failure.Server}, []any{wrong.code, wrong.text, true}, "error")
		own(open(connection), nil)
	}
}

// A connection error ends the connection with its code and text, and all channels.
func (Checks) ConnectionErrors(connection *amqp.Connection, _ string) {
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	channel := open(connection)
	channelClosed := channel.NotifyClose(make(chan *amqp.Error, 1))
	failure := fails[*amqp.Error](channel.ExchangeDeclare(unique("go"), "no-such-type", false, true, false, false, nil))
	equal([]any{failure.Code, failure.Reason}, []any{503, "COMMAND_INVALID - unknown exchange type 'no-such-type'"}, "error")
	equal(await(closed, "the connection's end").Code, 503, "code")
	equal(await(channelClosed, "the channel's end").Code, 503, "code")
}

// Bodies of all sizes around frame-max, and one of 5 MB, arrive unchanged.
func (Checks) BodySizes(connection *amqp.Connection, _ string) {
	channel := open(connection)
	queue := own(channel, nil)
	frame := connection.Config.FrameSize - 8
	for _, size := range []int{0, 1, frame - 1, frame, frame + 1, 2 * frame, 5_000_000} {
		body := bytes.Repeat([]byte("leveret\x00\xce"), size/9+1)[:size]
		publish(channel, "", queue, amqp.Publishing{Body: body})
		got := get(channel, queue)
		equal(len(got.Body), size, "size")
		equal(bytes.Equal(got.Body, body), true, "same body")
	}
}

// 200 channels work beside each other on one connection.
func (Checks) ManyChannels(connection *amqp.Connection, _ string) {
	channels := make([]*amqp.Channel, 200)
	queues := make([]string, len(channels))
	for number := range channels {
		channels[number] = open(connection)
		queues[number] = own(channels[number], nil)
		publish(channels[number], "", queues[0], amqp.Publishing{})
		value(channels[number].QueueInspect(queues[number]))
	}
	equal(len(take(channels[199], queues[0])), 200, "messages")
	for _, channel := range channels {
		must(channel.Close())
	}
}

// Goroutines publish at once, each waiting for its confirms, on channels of one connection.
func (Checks) ManyPublishers(connection *amqp.Connection, _ string) {
	queue := own(open(connection), nil)
	var all sync.WaitGroup
	failures := make(chan any, 8)
	for number := 0; number < 8; number++ {
		all.Add(1)
		go func() {
			defer all.Done()
			defer func() {
				if failure := recover(); failure != nil {
					failures <- failure
				}
			}()
			channel := open(connection)
			confirms := confirming(channel)
			for count := 0; count < 50; count++ {
				publish(channel, "", queue, amqp.Publishing{Body: make([]byte, count)})
				equal(await(confirms, "a confirm").Ack, true, "confirmed")
			}
		}()
	}
	all.Wait()
	select {
	case failure := <-failures:
		panic(failure)
	default:
	}
	equal(len(take(open(connection), queue)), 400, "messages")
}

// A wrong password is the library's own ErrCredentials.
func (Checks) RefusedLogin(_ *amqp.Connection, url string) {
	_, err := amqp.Dial(strings.Replace(url, "guest:guest", "guest:wrong", 1))
	equal(errors.Is(err, amqp.ErrCredentials), true, fmt.Sprint(err))
	_, err = amqp.Dial(strings.Replace(url, "%2F", "no-such-vhost", 1))
	equal(fails[*amqp.Error](err).Code, 403, "code that amqp091-go makes of a vhost that is not there")
}

// RPC by direct reply-to.
func (Checks) Rpc(connection *amqp.Connection, _ string) {
	server, client := open(connection), open(connection)
	requests := own(server, nil)
	deliveries := value(server.Consume(requests, "", true, false, false, false, nil))
	go func() {
		for request := range deliveries {
			publish(server, "", request.ReplyTo, amqp.Publishing{
				CorrelationId: request.CorrelationId, Body: append([]byte("re: "), request.Body...),
			})
		}
	}()
	replies := value(client.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil))
	for _, word := range []string{"one", "two"} {
		publish(client, "", requests, amqp.Publishing{
			CorrelationId: word, ReplyTo: "amq.rabbitmq.reply-to", Body: []byte(word),
		})
		reply := await(replies, "a reply")
		equal([]string{reply.CorrelationId, string(reply.Body)}, []string{word, "re: " + word}, "reply")
	}
}

// A rejected message goes to the dead letter queue with x-death, of types amqp091-go reads.
func (Checks) DeadLetters(connection *amqp.Connection, _ string) {
	channel := open(connection)
	dead := own(channel, nil)
	queue := own(channel, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	publish(channel, "", queue, amqp.Publishing{Body: []byte("letter")})
	must(get(channel, queue).Nack(false, false))
	deliveries := value(channel.Consume(dead, "", true, false, false, false, nil))
	death := await(deliveries, "the dead letter").Headers["x-death"].([]interface{})[0].(amqp.Table)
	equal(time.Since(death["time"].(time.Time)) < time.Minute, true, "time")
	delete(death, "time")
	equal(death, amqp.Table{
		"count": int64(1), "exchange": "", "queue": queue, "reason": "rejected",
		"routing-keys": []interface{}{queue},
	}, "x-death")
}

// A publisher is told that the broker is in alarm.
func (Checks) InAlarm(connection *amqp.Connection, _ string) {
	blockings := connection.NotifyBlocked(make(chan amqp.Blocking, 1))
	publish(open(connection), "", "nowhere", amqp.Publishing{})
	equal(await(blockings, "connection.blocked"), amqp.Blocking{Active: true, Reason: "low on disk"}, "blocking")
}

// A connection over TLS, with the broker's certificate checked.
func (Checks) OverTls(connection *amqp.Connection, url string) {
	equal(connection.ConnectionState().HandshakeComplete, true, "TLS")
	Checks{}.BodySizes(connection, url)
	_, err := amqp.DialTLS(url, &tls.Config{RootCAs: x509.NewCertPool()})
	equal(errors.As(err, &x509.UnknownAuthorityError{}), true, fmt.Sprint(err))
}

var input = bufio.NewScanner(os.Stdin)

func dial(url string) *amqp.Connection {
	if !strings.HasPrefix(url, "amqps:") {
		return value(amqp.Dial(url))
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(value(os.ReadFile(authority)))
	return value(amqp.DialTLS(url, &tls.Config{RootCAs: authorities}))
}

func run(name, url string) (answer string) {
	defer func() {
		if failure := recover(); failure != nil {
			answer = strings.ReplaceAll(fmt.Sprintf("failed: %v", failure), "\n", " ")
		}
	}()
	connection := dial(url)
	check := reflect.ValueOf(Checks{}).MethodByName(name).Interface().(func(*amqp.Connection, string))
	check(connection, url)
	if name != "InAlarm" { // Nothing more is read from a blocked publisher.
		connection.Close()
	}
	return "ok"
}

func main() {
	authority = os.Args[1]
	for input.Scan() {
		name, url, _ := strings.Cut(input.Text(), " ")
		fmt.Println(run(name, url))
	}
}
