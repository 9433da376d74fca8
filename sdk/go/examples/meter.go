// Telegrams of a smart meter's P1 port (DSMR 5, in the form of IEC 62056-21): identification, lines of OBIS codes with values in
// brackets, and "!" with a CRC-16 over everything before. A gateway publishes each telegram on telegram/<meter>.
//
// A telegram with a wrong checksum is an error: the host tries it again, and it becomes a dead letter.
package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"miqro"
)

// A quantity of a meter by its OBIS code.
type quantity struct {
	name, unit string
}

var quantities = map[string]quantity{
	"1-0:1.8.1":  {"import/tariff_1", "kWh"},
	"1-0:1.8.2":  {"import/tariff_2", "kWh"},
	"1-0:2.8.1":  {"export/tariff_1", "kWh"},
	"1-0:2.8.2":  {"export/tariff_2", "kWh"},
	"1-0:1.7.0":  {"power/import", "kW"},
	"1-0:2.7.0":  {"power/export", "kW"},
	"1-0:32.7.0": {"voltage/l1", "V"},
	"1-0:52.7.0": {"voltage/l2", "V"},
	"1-0:72.7.0": {"voltage/l3", "V"},
	"1-0:31.7.0": {"current/l1", "A"},
	"1-0:51.7.0": {"current/l2", "A"},
	"1-0:71.7.0": {"current/l3", "A"},
	"0-1:24.2.1": {"gas", "m3"},
	"0-2:24.2.1": {"water", "m3"},
}

// A reading of one quantity. At is the time that the meter gives with it, if any.
type reading struct {
	name  string
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	At    string  `json:"at,omitempty"`
}

// The content of a telegram.
type telegram struct {
	Identification string `json:"identification"`
	Version        string `json:"version,omitempty"`
	At             string `json:"at,omitempty"`
	readings       []reading
}

// crc16 is the CRC-16 with polynomial 0xA001 and beginning 0 (DSMR 5.0.2, section 6.2).
func crc16(bytes []byte) uint16 {
	var crc uint16
	for _, b := range bytes {
		crc ^= uint16(b)
		for bit := 0; bit < 8; bit++ {
			if crc&1 == 1 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

// check returns the lines of a telegram whose checksum is right.
func check(payload []byte) ([]string, error) {
	end := bytes.LastIndexByte(payload, '!')
	if len(payload) == 0 || payload[0] != '/' || end < 0 {
		return nil, fmt.Errorf("expected a telegram from / to !, found %d other bytes", len(payload))
	}
	digits := strings.TrimSpace(string(payload[end+1:]))
	expected, err := strconv.ParseUint(digits, 16, 16)
	if err != nil || len(digits) != 4 {
		return nil, fmt.Errorf("expected a checksum of 4 hexadecimal digits, found %q", digits)
	}
	if found := crc16(payload[:end+1]); found != uint16(expected) {
		return nil, fmt.Errorf("expected checksum %04X, found %04X", expected, found)
	}
	return strings.Split(strings.ReplaceAll(string(payload[1:end]), "\r\n", "\n"), "\n"), nil
}

// parse reads a telegram. Lines of unknown quantities are left out.
func parse(payload []byte) (*telegram, error) {
	lines, err := check(payload)
	if err != nil {
		return nil, err
	}
	found := &telegram{Identification: lines[0]}
	for _, line := range lines[1:] {
		code, rest, isData := strings.Cut(line, "(")
		if !isData {
			continue
		}
		values := strings.Split(strings.TrimSuffix(rest, ")"), ")(")
		switch code {
		case "1-3:0.2.8":
			found.Version = values[0]
		case "0-0:1.0.0":
			if found.At, err = timestamp(values[0]); err != nil {
				return nil, err
			}
		default:
			if known, isKnown := quantities[code]; isKnown {
				reading, err := read(known, values)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", code, err)
				}
				found.readings = append(found.readings, reading)
			}
		}
	}
	return found, nil
}

// read reads the value of a quantity, which may have a timestamp before it.
func read(known quantity, values []string) (reading, error) {
	result := reading{name: known.name, Unit: known.unit}
	if len(values) > 1 {
		at, err := timestamp(values[0])
		if err != nil {
			return result, err
		}
		result.At = at
	}
	text, unit, _ := strings.Cut(values[len(values)-1], "*")
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return result, fmt.Errorf("expected a number, found %q", text)
	}
	if unit != known.unit {
		return result, fmt.Errorf("expected a value in %s, found one in %q", known.unit, unit)
	}
	result.Value = value
	return result, nil
}

// timestamp reads YYMMDDhhmmss and W or S, for winter or summer in central Europe.
func timestamp(text string) (string, error) {
	hours := map[byte]int{'W': 1, 'S': 2}
	if len(text) == 13 && hours[text[12]] > 0 {
		zone := time.FixedZone("", hours[text[12]]*3600)
		if at, err := time.ParseInLocation("060102150405", text[:12], zone); err == nil {
			return at.Format(time.RFC3339), nil
		}
	}
	return "", fmt.Errorf("expected a time such as 260131120000W, found %q", text)
}

func onTelegram(message miqro.Message) error {
	meter := message.Matches[0]
	found, err := parse(message.Payload)
	if err != nil {
		return err
	}
	for _, reading := range found.readings {
		if err := miqro.Publish(meter+"/"+reading.name, reading, miqro.OnlyIfChanged(time.Minute)); err != nil {
			return err
		}
	}
	return miqro.Publish(meter+"/telegram", found, miqro.Retain(), miqro.QoS(1))
}

func init() { miqro.Handle("telegram/+", onTelegram) }

func main() {}
