package miqro

// The contract by hand, as the canonical ABI lays it out.
//
// Nothing may be allocated in cabi_realloc: Go's allocator may look at the clock, and a component must not call out while the host
// allocates. So the host gets static memory, and everything is copied out of it at once.

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"
)

type ptr = unsafe.Pointer

//go:wasmimport miqro:service/messaging@0.1.0 publish
func hostPublish(arguments, result ptr)

//go:wasmimport miqro:service/messaging@0.1.0 request
func hostRequest(arguments, result ptr)

//go:wasmimport miqro:service/messaging@0.1.0 subscribe
func hostSubscribe(filter ptr, length, some, qos, global uint32, result ptr)

//go:wasmimport miqro:service/messaging@0.1.0 unsubscribe
func hostUnsubscribe(filter ptr, length, global uint32, result ptr)

//go:wasmimport miqro:service/messaging@0.1.0 current-message
func hostCurrentMessage(result ptr)

//go:wasmimport miqro:service/timers@0.1.0 every
func hostEvery(name ptr, length uint32, period, delay uint64, result ptr)

//go:wasmimport miqro:service/timers@0.1.0 after
func hostAfter(name ptr, length uint32, delay uint64, result ptr)

//go:wasmimport miqro:service/timers@0.1.0 cancel
func hostCancel(name ptr, length uint32)

//go:wasmimport miqro:service/timers@0.1.0 remaining
func hostRemaining(name ptr, length uint32, result ptr)

//go:wasmimport miqro:service/timers@0.1.0 due
func hostDue(result ptr)

//go:wasmimport miqro:service/config@0.1.0 get
func hostConfig(result ptr)

//go:wasmimport miqro:service/config@0.1.0 me
func hostMe(result ptr)

//go:wasmimport miqro:service/state@0.1.0 get
func hostStateGet(key ptr, length uint32, result ptr)

//go:wasmimport miqro:service/state@0.1.0 set
func hostStateSet(key ptr, length uint32, value ptr, size uint32, result ptr)

//go:wasmimport miqro:service/state@0.1.0 delete
func hostStateDelete(key ptr, length uint32, result ptr)

//go:wasmimport miqro:service/state@0.1.0 keys
func hostStateKeys(prefix ptr, length uint32, result ptr)

//go:wasmimport miqro:service/log@0.1.0 log
func hostLog(level int32, message ptr, length uint32, fields ptr, count uint32)

// --- memory for the host

const (
	earlyWords = 1 << 15 // 256 KiB that WASI's adapter keeps for ever
	spareWords = 1 << 19 // 4 MiB for one transfer
)

var (
	early [earlyWords]uint64
	spare [spareWords]uint64
	used  [2]uint32
	up    int
)

func init() { up = 1 }

//go:wasmexport cabi_realloc
func cabiRealloc(old ptr, oldSize, align, size uint32) ptr {
	from := used[up]
	used[up] += (size + 7) / 8
	if up == 0 {
		return ptr(&early[from])
	}
	return ptr(&spare[from]) // beyond the array: a panic
}

// ask calls the host, and forgets what it has put into the static memory after read has copied it.
func ask(call func(), read func()) {
	before := used[1]
	call()
	if read != nil {
		read()
	}
	used[1] = before
}

// area is where results are returned to.
var area [24]uint32

func result() ptr { return ptr(&area) }

func failed() bool { return area[0]&0xff != 0 }

func address(pointer ptr) uint32 { return uint32(uintptr(pointer)) }

func view(pointer, length uint32) []byte {
	return unsafe.Slice((*byte)(ptr(uintptr(pointer))), length)
}

func text(pointer, length uint32) string { return string(view(pointer, length)) }

func bytes(pointer, length uint32) []byte { return append([]byte{}, view(pointer, length)...) }

func word(pointer uint32) uint32 { return *(*uint32)(ptr(uintptr(pointer))) }

func of(value string) (ptr, uint32) { return ptr(unsafe.StringData(value)), uint32(len(value)) }

var messagingKinds = []string{"invalid-topic", "denied", "invalid-property", "limit"}
var timersKinds = []string{"invalid", "limit"}
var stateKinds = []string{"invalid-key", "limit", "unavailable"}

// refused is the error at a word of the area: a tag, a pointer, a length.
func refused(at int, kinds []string) error {
	kind := "unknown"
	if tag := int(area[at] & 0xff); tag < len(kinds) {
		kind = kinds[tag]
	}
	return &Error{kind, text(area[at+1], area[at+2])}
}

func plain(call func(), kinds []string) (err error) {
	ask(call, func() {
		if failed() {
			err = refused(1, kinds)
		}
	})
	return err
}

type slice struct{ pointer, length uint32 }

type optional struct {
	some  uint32
	value slice
}

type lowered struct {
	some                                        uint32
	responseTopic, correlationData, contentType optional
	expirySome, expiry, utf8                    uint32
	user                                        slice
}

// lower puts properties into the form of the contract; keep holds what it points to.
func lower(properties *Properties) (into lowered, keep []any) {
	if properties == nil {
		return into, nil
	}
	into.some = 1
	set := func(field *optional, value string) {
		if value != "" {
			pointer, length := of(value)
			*field = optional{1, slice{address(pointer), length}}
			keep = append(keep, value)
		}
	}
	set(&into.responseTopic, properties.ResponseTopic)
	set(&into.correlationData, string(properties.CorrelationData))
	set(&into.contentType, properties.ContentType)
	if properties.MessageExpiry != 0 {
		into.expirySome, into.expiry = 1, properties.MessageExpiry
	}
	if properties.UTF8 {
		into.utf8 = 1
	}
	into.user, keep = pairs(properties.UserProperties, keep)
	return into, keep
}

func pairs(given [][2]string, keep []any) (slice, []any) {
	if len(given) == 0 {
		return slice{}, keep
	}
	list := make([][2]slice, len(given))
	for place, pair := range given {
		for side, value := range pair {
			pointer, length := of(value)
			list[place][side] = slice{address(pointer), length}
		}
	}
	return slice{address(ptr(unsafe.SliceData(list))), uint32(len(list))}, append(keep, list, given)
}

// lift reads properties at an address.
func lift(at uint32) *Properties {
	if word(at)&0xff == 0 {
		return nil
	}
	var properties Properties
	if word(at+4)&0xff != 0 {
		properties.ResponseTopic = text(word(at+8), word(at+12))
	}
	if word(at+16)&0xff != 0 {
		properties.CorrelationData = bytes(word(at+20), word(at+24))
	}
	if word(at+28)&0xff != 0 {
		properties.ContentType = text(word(at+32), word(at+36))
	}
	if word(at+40)&0xff != 0 {
		properties.MessageExpiry = word(at + 44)
	}
	properties.UTF8 = word(at+48)&0xff != 0
	for pair, count := word(at+52), word(at+56); count > 0; pair, count = pair+16, count-1 {
		properties.UserProperties = append(properties.UserProperties,
			[2]string{text(word(pair), word(pair+4)), text(word(pair+8), word(pair+12))})
	}
	return &properties
}

type publishArguments struct {
	topic, payload slice
	some, _        uint32
	// qos, retain, global: a byte each
	flags, _          uint32
	changedSome, _    uint32
	changedTag, _     uint32
	within            uint64
	properties        lowered
}

func flag(set bool, shift uint32) uint32 {
	if set {
		return 1 << shift
	}
	return 0
}

// PublishToken is as Publish; with QoS 1 and 2 the token names the message in OnDelivered.
func PublishToken(topic string, value any, given ...Option) (token uint64, err error) {
	payload, err := Encode(value)
	if err != nil {
		return 0, err
	}
	all := collect(given, 0)
	properties, keep := lower(all.properties)
	pointer, length := of(topic)
	arguments := publishArguments{
		topic:      slice{address(pointer), length},
		payload:    slice{address(ptr(unsafe.SliceData(payload))), uint32(len(payload))},
		some:       flag(len(given) > 0, 0),
		flags:      uint32(all.qos) | flag(all.retain, 8) | flag(all.global, 16),
		properties: properties,
	}
	if all.changed {
		arguments.changedSome = 1
		arguments.changedTag = flag(all.within > 0, 0)
		arguments.within = uint64(all.within.Milliseconds())
	}
	ask(func() { hostPublish(ptr(&arguments), result()) }, func() {
		if failed() {
			err = refused(2, messagingKinds)
		} else if area[2]&0xff != 0 {
			token = uint64(area[4]) | uint64(area[5])<<32
		}
	})
	runtime.KeepAlive(topic)
	runtime.KeepAlive(payload)
	runtime.KeepAlive(keep)
	return token, err
}

type requestArguments struct {
	topic, payload slice
	some, _        uint32
	global, _      uint32
	deadline       uint64
	properties     lowered
}

// Request publishes a request and waits for its answer. It is sent at once, and stays sent when the call fails later.
func Request(topic string, value any, given ...Option) (answer []byte, answered *Properties, err error) {
	payload, err := Encode(value)
	if err != nil {
		return nil, nil, err
	}
	all := collect(given, 1)
	properties, keep := lower(all.properties)
	pointer, length := of(topic)
	arguments := requestArguments{
		topic:      slice{address(pointer), length},
		payload:    slice{address(ptr(unsafe.SliceData(payload))), uint32(len(payload))},
		some:       1,
		global:     flag(all.global, 0),
		deadline:   uint64(all.deadline.Milliseconds()),
		properties: properties,
	}
	ask(func() { hostRequest(ptr(&arguments), result()) }, func() {
		switch {
		case !failed():
			answer = bytes(area[1], area[2])
			answered = lift(address(result()) + 12)
		case area[1]&0xff == 0:
			err = refused(2, messagingKinds)
		case area[1]&0xff == 1:
			err = &Error{"unavailable", text(area[2], area[3])}
		default:
			err = &Error{"timed-out", "no answer came in time"}
		}
	})
	runtime.KeepAlive(topic)
	runtime.KeepAlive(payload)
	runtime.KeepAlive(keep)
	return answer, answered, err
}

// Subscribe subscribes when the call succeeds; with QoS 1 unless an option says otherwise.
func Subscribe(filter string, given ...Option) error {
	all := collect(given, 1)
	pointer, length := of(filter)
	defer runtime.KeepAlive(filter)
	return plain(func() {
		hostSubscribe(pointer, length, 1, uint32(all.qos), flag(all.global, 0), result())
	}, messagingKinds)
}

// Unsubscribe ends a subscription when the call succeeds.
func Unsubscribe(filter string, given ...Option) error {
	all := collect(given, 1)
	pointer, length := of(filter)
	defer runtime.KeepAlive(filter)
	return plain(func() { hostUnsubscribe(pointer, length, flag(all.global, 0), result()) }, messagingKinds)
}

// CurrentMessage has facts about the message being handled; nil outside of a handler.
func CurrentMessage() (info *MessageInfo) {
	ask(func() { hostCurrentMessage(result()) }, func() {
		if !failed() {
			return
		}
		flags := area[3]
		info = &MessageInfo{
			Topic:      text(area[1], area[2]),
			Relative:   flags&0xff != 0,
			QoS:        uint8(flags >> 8),
			Retain:     flags>>16&0xff != 0,
			Dup:        flags>>24&0xff != 0,
			Attempt:    area[4],
			Properties: lift(address(result()) + 20),
		}
	})
	return info
}

// SetTimer sets a periodic timer, first due after delay.
func SetTimer(name string, period, delay time.Duration) error {
	pointer, length := of(name)
	defer runtime.KeepAlive(name)
	return plain(func() {
		hostEvery(pointer, length, uint64(period.Milliseconds()), uint64(delay.Milliseconds()), result())
	}, timersKinds)
}

// After sets a one-shot timer.
func After(name string, delay time.Duration) error {
	pointer, length := of(name)
	defer runtime.KeepAlive(name)
	return plain(func() { hostAfter(pointer, length, uint64(delay.Milliseconds()), result()) }, timersKinds)
}

// CancelTimer cancels a timer; unknown names are ignored.
func CancelTimer(name string) {
	pointer, length := of(name)
	hostCancel(pointer, length)
	runtime.KeepAlive(name)
}

// Remaining is the time until a timer is due; false: there is none.
func Remaining(name string) (left time.Duration, found bool) {
	pointer, length := of(name)
	ask(func() { hostRemaining(pointer, length, result()) }, func() {
		found = failed()
		left = time.Duration(uint64(area[2])|uint64(area[3])<<32) * time.Millisecond
	})
	runtime.KeepAlive(name)
	if !found {
		return 0, false
	}
	return left, true
}

func configText() (found string) {
	ask(func() { hostConfig(result()) }, func() { found = text(area[0], area[1]) })
	return found
}

// Me is the identity of the service.
func Me() (me Identity) {
	ask(func() { hostMe(result()) }, func() {
		me = Identity{text(area[0], area[1]), text(area[2], area[3]), text(area[4], area[5])}
	})
	return me
}

// StateBytes is the value of a key, which outlives the service; false: there is none.
func StateBytes(key string) (value []byte, found bool, err error) {
	pointer, length := of(key)
	ask(func() { hostStateGet(pointer, length, result()) }, func() {
		if failed() {
			err = refused(1, stateKinds)
		} else if area[1]&0xff != 0 {
			value, found = bytes(area[2], area[3]), true
		}
	})
	runtime.KeepAlive(key)
	return value, found, err
}

// SetStateBytes sets a key when the call succeeds.
func SetStateBytes(key string, value []byte) error {
	pointer, length := of(key)
	defer runtime.KeepAlive(key)
	defer runtime.KeepAlive(value)
	return plain(func() {
		hostStateSet(pointer, length, ptr(unsafe.SliceData(value)), uint32(len(value)), result())
	}, stateKinds)
}

// DeleteState removes a key; unknown keys are ignored.
func DeleteState(key string) error {
	pointer, length := of(key)
	defer runtime.KeepAlive(key)
	return plain(func() { hostStateDelete(pointer, length, result()) }, stateKinds)
}

// StateKeys has the keys that begin with prefix, in the order of their bytes.
func StateKeys(prefix string) (keys []string, err error) {
	pointer, length := of(prefix)
	ask(func() { hostStateKeys(pointer, length, result()) }, func() {
		if failed() {
			err = refused(1, stateKinds)
			return
		}
		for key, count := area[1], area[2]; count > 0; key, count = key+8, count-1 {
			keys = append(keys, text(word(key), word(key+4)))
		}
	})
	runtime.KeepAlive(prefix)
	return keys, err
}

func writeLog(level Level, message string, fields [][2]string) {
	pointer, length := of(message)
	list, keep := pairs(fields, nil)
	hostLog(int32(level), pointer, length, ptr(uintptr(list.pointer)), list.length)
	runtime.KeepAlive(message)
	runtime.KeepAlive(keep)
}

// --- the exports

var (
	done  [3]uint32
	said  []byte // the text of an error, until the host has read it
	saved []byte
)

func outcome(run func() error) ptr {
	done = [3]uint32{}
	if err := caught(run); err != nil {
		said = []byte(err.Error())
		done = [3]uint32{1, address(ptr(unsafe.SliceData(said))), uint32(len(said))}
	}
	used[1] = 0
	return ptr(&done)
}

func caught(run func() error) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("panic: %v", problem)
		}
	}()
	return run()
}

//go:wasmexport start
func start() ptr { return outcome(onStart) }

//go:wasmexport stop
func stop() ptr { return outcome(func() error { return each(registry.stop) }) }

//go:wasmexport handle
func handle(topic, topicLength, payload, payloadLength uint32) ptr {
	name, content := text(topic, topicLength), bytes(payload, payloadLength)
	used[1] = 0
	return outcome(func() error { return onMessage(name, content) })
}

//go:wasmexport tick
func tick() ptr {
	var names []string
	ask(func() { hostDue(result()) }, func() {
		for timer, count := area[0], area[1]; count > 0; timer, count = timer+16, count-1 {
			names = append(names, text(word(timer), word(timer+4)))
		}
	})
	return outcome(func() error {
		for _, name := range names {
			if err := onTick(name); err != nil {
				return err
			}
		}
		return nil
	})
}

//go:wasmexport connected
func connected(sessionPresent uint32) ptr {
	return outcome(func() error {
		for _, run := range registry.connected {
			if err := run(sessionPresent != 0); err != nil {
				return err
			}
		}
		return nil
	})
}

//go:wasmexport disconnected
func disconnected() ptr { return outcome(func() error { return each(registry.disconnected) }) }

//go:wasmexport delivered
func delivered(token uint64, kind, reason, length uint32) ptr {
	what := Outcome{Name: []string{"delivered", "timed-out", "refused"}[kind]}
	if kind == 2 {
		what.Reason = text(reason, length)
	}
	used[1] = 0
	return outcome(func() error {
		for _, run := range registry.delivered {
			if err := run(token, what); err != nil {
				return err
			}
		}
		return nil
	})
}

//go:wasmexport config-changed
func configChanged() ptr {
	precision = -1
	return outcome(func() error { return each(registry.configChanged) })
}

//go:wasmexport save
func save() ptr {
	saved = nil
	if registry.save != nil {
		saved = registry.save()
	}
	done = [3]uint32{address(ptr(unsafe.SliceData(saved))), uint32(len(saved))}
	return ptr(&done)
}

//go:wasmexport load
func load(state, length uint32) ptr {
	content := bytes(state, length)
	used[1] = 0
	return outcome(func() error {
		for _, run := range registry.load {
			if err := run(content); err != nil {
				return err
			}
		}
		return nil
	})
}
