package miqro

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestFiltersMatchAsMQTTSays(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		matches       []string
		found         bool
	}{
		{"a/#", "a", []string{""}, true}, {"a/#", "a/b/c", []string{"b/c"}, true}, {"+", "", []string{""}, true},
		{"+/b", "a/b", []string{"a"}, true}, {"a/+", "a", nil, false}, {"#", "$SYS/x", nil, false},
		{"$share/g/a/+", "a/b", []string{"b"}, true}, {"a", "a/b", nil, false}, {"a/b", "a", nil, false},
	} {
		matches, found := captures(c.filter, c.topic)
		if found != c.found || (found && !reflect.DeepEqual(matches, c.matches)) {
			t.Errorf("%s %s: expected %v %v, found %v %v", c.filter, c.topic, c.matches, c.found, matches, found)
		}
	}
}

func TestEveryKindOfValuePublishes(t *testing.T) {
	for _, c := range []struct {
		value    any
		expected string
	}{
		{[]byte("b"), "b"}, {"text", "text"}, {7, "7"}, {2.123456, "2.1235"}, {true, "1"}, {false, "0"}, {nil, ""},
		{map[string]any{"a": 1.23456}, `{"a":1.2346}`}, {[]any{1, "x"}, `[1,"x"]`},
	} {
		payload, err := Encode(c.value)
		if err != nil || string(payload) != c.expected {
			t.Errorf("%v: expected %s, found %s %v", c.value, c.expected, payload, err)
		}
	}
	if _, err := Encode(func() {}); err == nil {
		t.Error("a function cannot be published")
	}
}

func TestAServiceOnTheTable(t *testing.T) {
	Handle("lamp/+", func(m Message) error {
		on, err := m.Bool()
		if err != nil {
			return err
		}
		if err := After("off/"+m.Matches[0], 10*time.Second); err != nil {
			return err
		}
		return Publish(m.Matches[0], on)
	})
	OnTimer("off/+", func(matches []string) error { return Publish(matches[0], false) })
	left := 2
	Every(time.Second, "count", func() error {
		if left--; left == 0 {
			return ErrDone
		}
		return SetState("left", left)
	})

	Table = NewTable()
	for _, step := range []error{
		Table.Start(), Table.Send("lamp/kitchen", []byte("on")), Table.Tick("off/kitchen"), Table.Tick("count"), Table.Tick("count"),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	expected := []Published{{"kitchen", []byte("1")}, {"kitchen", []byte("0")}}
	if !reflect.DeepEqual(Table.Published, expected) || string(Table.State["left"]) != "1" {
		t.Errorf("found %v %v", Table.Published, Table.State)
	}
	if _, running := Table.Timers["count"]; running {
		t.Error("the loop goes on")
	}
	if err := Table.Send("lamp/kitchen", []byte("?")); err == nil {
		t.Error("expected an error")
	}
	var refused *Error
	if _, _, err := Request("nobody", nil); !errors.As(err, &refused) || refused.Kind != "timed-out" {
		t.Error(err)
	}
}
