// Package miqro is for MQTT services on MIQRO host.
//
//	func init() {
//		miqro.Handle("echo", func(m miqro.Message) error { return miqro.Publish("echo_response", m.Payload) })
//		miqro.Every(10*time.Second, "beat", func() error { return miqro.Publish("beat", map[string]any{"answer": 42.01}) })
//	}
//
//	func main() {}
//
// Publishes, subscriptions, state and timers of a call take effect when its functions return nil, and not at all when one returns
// an error or panics; then the host tries the message again. Goroutines run during a call only.
package miqro

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is the message that a handler gets.
type Message struct {
	// Topic is below the base topic, or the full topic of a global filter.
	Topic   string
	Payload []byte
	// Matches of the wildcards: a level for each +, the remainder for #.
	Matches []string
}

// Text is the payload as text.
func (m Message) Text() (string, error) {
	if !utf8.Valid(m.Payload) {
		return "", errors.New("expected text, found bytes that are not UTF-8")
	}
	return string(m.Payload), nil
}

// Number is the payload as a number.
func (m Message) Number() (float64, error) {
	value, err := strconv.ParseFloat(strings.TrimSpace(string(m.Payload)), 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		return 0, fmt.Errorf("expected a number, found %.80q", m.Payload)
	}
	return value, nil
}

// Bool is the payload as true or false: 1, true, on, yes, 0, false, off, no.
func (m Message) Bool() (bool, error) {
	switch strings.ToLower(strings.TrimSpace(string(m.Payload))) {
	case "1", "true", "on", "yes":
		return true, nil
	case "0", "false", "off", "no":
		return false, nil
	}
	return false, fmt.Errorf("expected 1, 0, true, false, on or off, found %.80q", m.Payload)
}

// JSON reads the payload into value.
func (m Message) JSON(value any) error { return json.Unmarshal(m.Payload, value) }

// Properties travel with a message (MQTT 5).
type Properties struct {
	ResponseTopic   string
	CorrelationData []byte
	ContentType     string
	// MessageExpiry in seconds; 0: none.
	MessageExpiry  uint32
	UTF8           bool
	UserProperties [][2]string
}

// MessageInfo has facts about the message being handled.
type MessageInfo struct {
	// Topic is the full topic.
	Topic      string
	Relative   bool
	QoS        uint8
	Retain     bool
	Dup        bool
	Attempt    uint32
	Properties *Properties
}

// Identity of the service.
type Identity struct{ Name, BaseTopic, DiscoveryPrefix string }

// Outcome of a message that was published with QoS 1 or 2.
type Outcome struct {
	// Name is delivered, timed-out or refused.
	Name   string
	Reason string
}

// Error is an error of the host; Kind is its name in the contract.
type Error struct{ Kind, Text string }

func (e *Error) Error() string { return e.Text }

type options struct {
	qos        uint8
	retain     bool
	global     bool
	changed    bool
	within     time.Duration
	properties *Properties
	deadline   time.Duration
}

// Option of a publish, a request, a subscription or a handler.
type Option func(*options)

// QoS sets the quality of service.
func QoS(qos uint8) Option { return func(o *options) { o.qos = qos } }

// Retain has the broker keep the message.
func Retain() Option { return func(o *options) { o.retain = true } }

// Global makes the topic a full one instead of one below the base topic.
func Global() Option { return func(o *options) { o.global = true } }

// OnlyIfChanged leaves the message out when nothing changed; within a span of time, or with 0 however long ago.
func OnlyIfChanged(within time.Duration) Option {
	return func(o *options) { o.changed, o.within = true, within }
}

// With adds properties.
func With(properties Properties) Option { return func(o *options) { o.properties = &properties } }

// Deadline limits the wait for the answer to a request; 30 seconds without it.
func Deadline(deadline time.Duration) Option { return func(o *options) { o.deadline = deadline } }

func collect(given []Option, qos uint8) options {
	all := options{qos: qos, deadline: 30 * time.Second}
	for _, option := range given {
		option(&all)
	}
	return all
}

type handler struct {
	filter string
	global bool
	qos    uint8
	run    func(Message) error
}

type loop struct {
	name   string
	period time.Duration
	run    func() error
}

type timer struct {
	name string
	run  func(matches []string) error
}

var registry struct {
	handlers                                    []handler
	loops                                       []loop
	timers                                      []timer
	start, stop, disconnected, configChanged    []func() error
	connected                                   []func(sessionPresent bool) error
	delivered                                   []func(token uint64, outcome Outcome) error
	other                                       []func(Message) error
	save                                        func() []byte
	load                                        []func([]byte) error
}

// Handle runs a function for messages below the base topic, or with Global for those of full topics.
func Handle(filter string, run func(Message) error, given ...Option) {
	all := collect(given, 1)
	registry.handlers = append(registry.handlers, handler{filter, all.global, all.qos, run})
}

// Every runs a function now and in each period. Returning ErrDone ends it.
func Every(period time.Duration, name string, run func() error) {
	registry.loops = append(registry.loops, loop{name, period, run})
}

// ErrDone ends the loop that returns it; the call succeeds.
var ErrDone = errors.New("the loop is done")

// OnTimer runs a function when a timer of this name is due. + in the name matches one level, which the function gets.
func OnTimer(name string, run func(matches []string) error) {
	registry.timers = append(registry.timers, timer{name, run})
}

// OnStart runs a function when the service starts, after the subscriptions.
func OnStart(run func() error) { registry.start = append(registry.start, run) }

// OnStop runs a function when the service stops.
func OnStop(run func() error) { registry.stop = append(registry.stop, run) }

// OnConnected runs a function when the connection to the broker is established.
func OnConnected(run func(sessionPresent bool) error) {
	registry.connected = append(registry.connected, run)
}

// OnDisconnected runs a function when the connection to the broker is lost.
func OnDisconnected(run func() error) { registry.disconnected = append(registry.disconnected, run) }

// OnDelivered runs a function for each message that was published with QoS 1 or 2, when its outcome is known.
func OnDelivered(run func(token uint64, outcome Outcome) error) {
	registry.delivered = append(registry.delivered, run)
}

// OnConfigChanged runs a function when the section of the service has changed. An error refuses the change.
func OnConfigChanged(run func() error) { registry.configChanged = append(registry.configChanged, run) }

// OnSave has a function return what the next version of the service takes over.
func OnSave(run func() []byte) { registry.save = run }

// OnLoad has a function take over the data that the former version has saved.
func OnLoad(run func([]byte) error) { registry.load = append(registry.load, run) }

// OnOther runs a function for messages that no handler takes.
func OnOther(run func(Message) error) { registry.other = append(registry.other, run) }

// Encode makes a payload: bytes and text as they are, true and false as 1 and 0, nil as an empty one, the rest as JSON with floats
// rounded to json_float_precision of the section.
func Encode(value any) ([]byte, error) {
	switch value := value.(type) {
	case nil:
		return nil, nil
	case []byte:
		return value, nil
	case string:
		return []byte(value), nil
	case bool:
		if value {
			return []byte("1"), nil
		}
		return []byte("0"), nil
	}
	return toJSON(value)
}

func toJSON(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(string(text), ".eE") {
		return text, nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	return json.Marshal(rounded(tree, floatPrecision()))
}

func rounded(value any, precision int) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = rounded(item, precision)
		}
	case []any:
		for place, item := range value {
			value[place] = rounded(item, precision)
		}
	case json.Number:
		if strings.ContainsAny(string(value), ".eE") {
			number, _ := value.Float64()
			scale := math.Pow10(precision)
			if scaled := math.Round(number*scale) / scale; !math.IsInf(scaled, 0) && !math.IsNaN(scaled) {
				return scaled
			}
		}
	}
	return value
}

var precision = -1

func floatPrecision() int {
	if precision < 0 {
		section := struct {
			Precision *int `json:"json_float_precision"`
		}{}
		precision = 4
		if json.Unmarshal([]byte(configText()), &section) == nil && section.Precision != nil {
			precision = *section.Precision
		}
	}
	return precision
}

// PublishJSON publishes a value as JSON, also a text or a number.
func PublishJSON(topic string, value any, given ...Option) error {
	text, err := toJSON(value)
	if err != nil {
		return err
	}
	return Publish(topic, text, given...)
}

// Publish publishes a value when the call succeeds.
func Publish(topic string, value any, given ...Option) error {
	_, err := PublishToken(topic, value, given...)
	return err
}

// Config reads the section of the service in miqro.yml, without the keys that are for the host, into value.
func Config(value any) error { return json.Unmarshal([]byte(configText()), value) }

// State reads the value of a key, which outlives the service, from JSON; false: there is none.
func State(key string, value any) (bool, error) {
	text, found, err := StateBytes(key)
	if err != nil || !found {
		return false, err
	}
	return true, json.Unmarshal(text, value)
}

// SetState sets a key to a value that JSON has.
func SetState(key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return SetStateBytes(key, text)
}

// Level of a log line.
type Level int32

// The levels.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Err
)

// Log writes a log line; fields are names and values by turns. It is written at once, even if the call fails later.
func Log(level Level, message string, fields ...any) {
	pairs := make([][2]string, 0, len(fields)/2)
	for place := 0; place+1 < len(fields); place += 2 {
		pairs = append(pairs, [2]string{fmt.Sprint(fields[place]), fmt.Sprint(fields[place+1])})
	}
	writeLog(level, message, pairs)
}

// captures returns the matches of the wildcards of filter.
func captures(filter, topic string) ([]string, bool) {
	if rest, shared := strings.CutPrefix(filter, "$share/"); shared {
		_, filter, _ = strings.Cut(rest, "/")
	}
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return nil, false
	}
	wanted, levels := strings.Split(filter, "/"), strings.Split(topic, "/")
	var found []string
	for place, level := range wanted {
		if level == "#" {
			return append(found, strings.Join(levels[min(place, len(levels)):], "/")), true
		}
		if place >= len(levels) || (level != "+" && level != levels[place]) {
			return nil, false
		}
		if level == "+" {
			found = append(found, levels[place])
		}
	}
	return found, len(wanted) == len(levels)
}

func each(functions []func() error) error {
	for _, run := range functions {
		if err := run(); err != nil {
			return err
		}
	}
	return nil
}

func onStart() error {
	for _, handler := range registry.handlers {
		given := []Option{QoS(handler.qos)}
		if handler.global {
			given = append(given, Global())
		}
		if err := Subscribe(handler.filter, given...); err != nil {
			return err
		}
	}
	for _, loop := range registry.loops {
		if err := SetTimer(loop.name, loop.period, 0); err != nil {
			return err
		}
	}
	return each(registry.start)
}

func onMessage(topic string, payload []byte) error {
	global, handled := false, false
	for _, handler := range registry.handlers {
		if handler.global {
			info := CurrentMessage()
			global = info != nil && !info.Relative
			break
		}
	}
	for _, handler := range registry.handlers {
		matches, found := captures(handler.filter, topic)
		if !found || handler.global != global {
			continue
		}
		handled = true
		if err := handler.run(Message{topic, payload, matches}); err != nil {
			return err
		}
	}
	if !handled {
		for _, run := range registry.other {
			if err := run(Message{Topic: topic, Payload: payload}); err != nil {
				return err
			}
		}
	}
	return nil
}

func onTick(name string) error {
	for _, loop := range registry.loops {
		if loop.name == name {
			err := loop.run()
			if errors.Is(err, ErrDone) {
				CancelTimer(name)
				return nil
			}
			return err
		}
	}
	for _, timer := range registry.timers {
		if matches, found := captures(timer.name, name); found {
			return timer.run(matches)
		}
	}
	Log(Debug, "no function for a timer", "timer", name)
	return nil
}
