//go:build !wasip1

package miqro

// The contract on a table, for native unit tests: `go test`. Contract and scenarios are tested by `miqro-host test`.

import (
	"sort"
	"strings"
	"time"
)

// Published is a message of the service under test.
type Published struct {
	Topic   string
	Payload []byte
}

// Table is what the service under test has done, and the data that it finds.
var Table = NewTable()

// Desk is a host for native unit tests.
type Desk struct {
	Published []Published
	State     map[string][]byte
	Timers    map[string]time.Duration
	Filters   []string
	Section   string
	Lines     []string
	Message   *MessageInfo
	Answers   map[string][]byte
}

// NewTable makes a desk on which nothing has happened.
func NewTable() *Desk {
	return &Desk{State: map[string][]byte{}, Timers: map[string]time.Duration{}, Section: "{}", Answers: map[string][]byte{}}
}

// Start starts the service under test.
func (*Desk) Start() error { return onStart() }

// Send hands it a message.
func (*Desk) Send(topic string, payload []byte) error { return onMessage(topic, payload) }

// Tick calls the function of a timer.
func (*Desk) Tick(name string) error { return onTick(name) }

// PublishToken is as Publish; with QoS 1 and 2 the token names the message in OnDelivered.
func PublishToken(topic string, value any, given ...Option) (uint64, error) {
	payload, err := Encode(value)
	if err == nil {
		Table.Published = append(Table.Published, Published{topic, payload})
	}
	return 0, err
}

// Request publishes a request and waits for its answer.
func Request(topic string, value any, given ...Option) ([]byte, *Properties, error) {
	if answer, found := Table.Answers[topic]; found {
		return answer, nil, nil
	}
	return nil, nil, &Error{"timed-out", "no answer came in time"}
}

// Subscribe subscribes when the call succeeds; with QoS 1 unless an option says otherwise.
func Subscribe(filter string, given ...Option) error {
	Table.Filters = append(Table.Filters, filter)
	return nil
}

// Unsubscribe ends a subscription when the call succeeds.
func Unsubscribe(filter string, given ...Option) error { return nil }

// CurrentMessage has facts about the message being handled; nil outside of a handler.
func CurrentMessage() *MessageInfo { return Table.Message }

// SetTimer sets a periodic timer, first due after delay.
func SetTimer(name string, period, delay time.Duration) error {
	Table.Timers[name] = delay
	return nil
}

// After sets a one-shot timer.
func After(name string, delay time.Duration) error {
	Table.Timers[name] = delay
	return nil
}

// CancelTimer cancels a timer; unknown names are ignored.
func CancelTimer(name string) { delete(Table.Timers, name) }

// Remaining is the time until a timer is due; false: there is none.
func Remaining(name string) (time.Duration, bool) {
	left, found := Table.Timers[name]
	return left, found
}

func configText() string { return Table.Section }

// Me is the identity of the service.
func Me() Identity { return Identity{"test", "service/test/", "homeassistant"} }

// StateBytes is the value of a key, which outlives the service; false: there is none.
func StateBytes(key string) ([]byte, bool, error) {
	value, found := Table.State[key]
	return value, found, nil
}

// SetStateBytes sets a key when the call succeeds.
func SetStateBytes(key string, value []byte) error {
	Table.State[key] = value
	return nil
}

// DeleteState removes a key; unknown keys are ignored.
func DeleteState(key string) error {
	delete(Table.State, key)
	return nil
}

// StateKeys has the keys that begin with prefix, in the order of their bytes.
func StateKeys(prefix string) ([]string, error) {
	var keys []string
	for key := range Table.State {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys, nil
}

func writeLog(level Level, message string, fields [][2]string) {
	Table.Lines = append(Table.Lines, message)
}
