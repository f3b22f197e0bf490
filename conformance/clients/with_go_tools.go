// What the checks in with_go.go are written with: tables, queues, comparing, waiting.
package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const patience = 10 * time.Second

var serial = int(time.Now().UnixNano())

// Every type amqp091-go can put into a table.
func everyType() amqp.Table {
	return amqp.Table{
		"text": "żółw", "octets": []byte{0, 255, 206}, "yes": true, "no": false, "nothing": nil,
		"byte": byte(200), "int8": int8(-100), "short": int16(-30000), "int": int32(-2000000000), "long": int64(1) << 62,
		"float": float32(0.5), "double": 0.1, "money": amqp.Decimal{Scale: 2, Value: 314},
		"when": time.Unix(1700000000, 0), "list": []interface{}{int32(1), "two", amqp.Table{"three": []interface{}{nil, 3.5}}},
		"table": amqp.Table{"nested": amqp.Table{}},
	}
}

func open(connection *amqp.Connection) *amqp.Channel { return value(connection.Channel()) }

func own(channel *amqp.Channel, arguments amqp.Table) string {
	return value(channel.QueueDeclare("", false, false, true, false, arguments)).Name
}

// Not the library's deferred confirmations, which before 1.8 miss a confirm that is quick.
func confirming(channel *amqp.Channel) <-chan amqp.Confirmation {
	must(channel.Confirm(false))
	return channel.NotifyPublish(make(chan amqp.Confirmation, 100))
}

func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	must(channel.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

func get(channel *amqp.Channel, queue string) amqp.Delivery {
	delivery, found, err := channel.Get(queue, false)
	must(err)
	equal(found, true, "a message in "+queue)
	return delivery
}

func take(channel *amqp.Channel, queue string) []string {
	bodies := []string{}
	for {
		delivery, found, err := channel.Get(queue, true)
		must(err)
		if !found {
			return bodies
		}
		bodies = append(bodies, string(delivery.Body))
	}
}

func unique(stem string) string {
	serial++
	return fmt.Sprintf("%s.%x", stem, serial)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func value[T any](got T, err error) T {
	must(err)
	return got
}

func fails[T error](err error) T {
	var wanted T
	if !errors.As(err, &wanted) {
		panic(fmt.Sprintf("not the error that was expected: %v", err))
	}
	return wanted
}

func equal(got, expected any, what string) {
	if !reflect.DeepEqual(got, expected) {
		panic(fmt.Sprintf("%s: got %#v, expected %#v", what, got, expected))
	}
}

func await[T any](source <-chan T, what string) T {
	select {
	case got := <-source:
		return got
	case <-time.After(patience):
		panic("not in time: " + what)
	}
}
