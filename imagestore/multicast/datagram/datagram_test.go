package datagram

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens anew")

func testKey(t testing.TB, session uint64) *Key {
	t.Helper()
	k, err := NewKey([]byte("0123456789abcdef"), session)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func samples(k *Key) map[string][]byte {
	return map[string][]byte{
		"data": k.Seal(nil, Header{Type: Data, Seq: 1, Block: 7, ESI: 1030, Pos: 7, Time: 250},
			[]byte("sixty-four bytes of an image")),
		"heartbeat": k.Seal(nil, Header{Type: Heartbeat, Seq: 2, Pos: 8, Time: 1000},
			Status{Running, 40, 25_000_000, 1500}.Append(nil)),
		"end": k.Seal(nil, Header{Type: End, Seq: 3, Pos: 9, Time: 9000},
			Status{State: Closed, Receivers: 40}.Append(nil)),
		"report": k.Seal(nil, Header{Type: Report, Flags: Ready, Seq: 4, Block: 2, ESI: 17, Pos: 900, Time: 880},
			AppendMissing(nil, []Missing{{2, 1, 3}, {5, 1, 12}, {100, 900, All}})),
		"verdict": k.Seal(nil, Header{Type: Verdict, Seq: 1, ESI: 17}, Status{State: Demoted}.Append(nil)),
	}
}

func TestGolden(t *testing.T) {
	var b strings.Builder
	s := samples(testKey(t, 0x1122334455667788))
	for _, name := range []string{"data", "heartbeat", "end", "report", "verdict"} {
		b.WriteString(name + "\n" + hex.Dump(s[name]))
	}
	if *update {
		if err := os.WriteFile("testdata/golden.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the wire format changed:\n%s", b.String())
	}
}

func TestRoundTrip(t *testing.T) {
	k := testKey(t, 5)
	h := Header{Type: Data, Flags: 3, Seq: 1 << 31, Block: 70000, ESI: 65535, Pos: 69999, Time: 1 << 30}
	for _, n := range []int{0, 1, 1408, MaxPayload} {
		payload := bytes.Repeat([]byte{0xa5}, n)
		b := k.Seal([]byte("before"), h, payload)[len("before"):]
		if len(b) != n+Overhead {
			t.Errorf("a payload of %d makes %d bytes, want %d", n, len(b), n+Overhead)
		}
		got, p, err := k.Open(nil, b)
		if err != nil || got != h || !bytes.Equal(p, payload) {
			t.Errorf("opening %d bytes: %+v, %d bytes, %v", n, got, len(p), err)
		}
	}
	if r, err := Receiver(samples(k)["report"]); r != 17 || err != nil {
		t.Errorf("the report's receiver is %d, %v", r, err)
	}
}

// Nothing that another wrote, and no part of what we did, opens.
func TestRefused(t *testing.T) {
	k := testKey(t, 5)
	good := samples(k)["data"]
	for i := range good {
		for _, bit := range []byte{1, 0x80} {
			b := bytes.Clone(good)
			b[i] ^= bit
			if _, _, err := k.Open(nil, b); !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
				t.Errorf("byte %d changed by %#x: %v", i, bit, err)
			}
		}
		if _, _, err := k.Open(nil, good[:i]); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrForged) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
	if _, _, err := k.Open(nil, append(bytes.Clone(good), 0)); !errors.Is(err, ErrForged) {
		t.Errorf("a byte too many: %v", err)
	}
	for _, other := range []uint64{6, 5 + 1<<32, 5 + 1<<63} {
		if _, _, err := testKey(t, other).Open(nil, good); !errors.Is(err, ErrForged) {
			t.Errorf("of session %x: %v, want ErrForged", other, err)
		}
	}
	if _, err := Receiver(good); !errors.Is(err, ErrMalformed) {
		t.Errorf("the receiver of data: %v, want ErrMalformed", err)
	}
	if _, err := NewKey(make([]byte, 15), 1); err == nil {
		t.Error("a key of 15 bytes is taken")
	}
}

func TestStatus(t *testing.T) {
	for s := Gathering; s <= Demoted; s++ {
		want := Status{s, 65535, 1 << 31, 77}
		if got, err := ParseStatus(want.Append(nil)); got != want || err != nil {
			t.Errorf("%v: %+v, %v", s, got, err)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 11), make([]byte, 12), bytes.Repeat([]byte{9}, 12),
		make([]byte, 13)} {
		if _, err := ParseStatus(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("ParseStatus(%x) = %v, want ErrMalformed", bad, err)
		}
	}
}

func TestMissing(t *testing.T) {
	list := []Missing{{0, 1, 1}, {1, 5, All}, {6, 65535, 3}, {1 << 31, 1, 1024}}
	if got, err := ParseMissing(nil, AppendMissing(nil, list)); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("got %v, %v", got, err)
	}
	long := make([]Missing, 500)
	for i := range long {
		long[i] = Missing{uint32(i), 1, 1}
	}
	b := AppendMissing(nil, long)
	if n := len(b) + Overhead + 28; n > 1500 {
		t.Errorf("the longest report makes a packet of %d bytes", n)
	}
	if got, err := ParseMissing(nil, b); err != nil || len(got) != MaxMissing {
		t.Errorf("%d of %d, %v", len(got), len(long), err)
	}
	for name, bad := range map[string][]byte{
		"odd":        make([]byte, 7),
		"no blocks":  AppendMissing(nil, []Missing{{1, 0, 1}}),
		"no symbols": AppendMissing(nil, []Missing{{1, 1, 0}}),
		"disorder":   AppendMissing(nil, []Missing{{9, 1, 1}, {8, 1, 1}}),
		"overlap":    AppendMissing(nil, []Missing{{8, 3, 1}, {10, 1, 1}}),
		"too long":   make([]byte, 8*(MaxMissing+1)),
	} {
		if _, err := ParseMissing(nil, bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

// FuzzOpen gives bytes from the network to everything that reads them. The payload's parsers get what an insider may
// seal.
func FuzzOpen(f *testing.F) {
	k := testKey(f, 5)
	for _, b := range samples(k) {
		f.Add(b)
	}
	f.Add([]byte("H\x10"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, payload, err := k.Open(nil, b); err == nil {
			if again := k.Seal(nil, h, payload); !bytes.Equal(again, b) {
				t.Errorf("%x opens to what seals to %x", b, again)
			}
		}
		Receiver(b)
		if s, err := ParseStatus(b); err == nil && len(s.Append(nil)) != len(b) {
			t.Errorf("status %x reads as %+v", b, s)
		}
		if m, err := ParseMissing(nil, b); err == nil && !bytes.Equal(AppendMissing(nil, m), b) {
			t.Errorf("list %x reads as %v", b, m)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	k := testKey(b, 5)
	payload, dst := make([]byte, 1408), make([]byte, 0, 1500)
	b.SetBytes(1408)
	for i := range b.N {
		k.Seal(dst, Header{Type: Data, Seq: uint32(i)}, payload)
	}
}

func TestStateText(t *testing.T) {
	for s := Gathering; s <= Demoted; s++ {
		b, _ := s.MarshalText()
		var got State
		if err := got.UnmarshalText(b); err != nil || got != s {
			t.Errorf("UnmarshalText(%q) = %v, %v, want %v", b, got, err, s)
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("asleep")); err == nil {
		t.Error("a state that there is not is parsed")
	}
}
