package receiver

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/parity"
	"griddle/imagestore/multicast/sourcetest"
)

// insider has the key of a group, and a receiver of it without sockets.
type insider struct {
	m    *membership
	d    *Download
	data []byte
	seq  uint32
	at   time.Time
}

// smallLayout has blocks of 512 bytes.
var smallLayout = multicast.Layout{Code: parity.Name, K: 8, R: 8, Symbol: 64}

func newInsider(t testing.TB, size int) *insider {
	t.Helper()
	i := &insider{data: make([]byte, size), at: time.Unix(1000, 0)}
	rand.NewChaCha8([32]byte{3}).Read(i.data)
	hashes, err := multicast.HashBlocks(bytes.NewReader(i.data), smallLayout)
	if err != nil {
		t.Fatal(err)
	}
	secret := multicast.Key("0123456789abcdef")
	s := multicast.Session{ID: 7, Encoding: blob.Sum(i.data), Size: int64(size), Layout: smallLayout,
		Hashes: blob.Sum(hashes), Receiver: 1,
		Group: netip.MustParseAddrPort("239.255.1.1:7"), Sender: netip.MustParseAddrPort("127.0.0.1:9")}
	if s.Key, err = multicast.GroupKey(secret, 7); err != nil {
		t.Fatal(err)
	}
	if s.ReceiverKey, err = multicast.ReceiverKey(secret, 7, 1); err != nil {
		t.Fatal(err)
	}
	if i.d, err = New(Options{Encoding: s.Encoding, Size: s.Size, Layout: smallLayout,
		HTTP: []blob.Reader{sourcetest.Memory(i.data)}, Memory: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.d.Close() })
	if i.m, err = newMembership(i.d, s, hashes); err != nil {
		t.Fatal(err)
	}
	i.d.hashes = hashes
	return i
}

// say has the receiver hear a datagram with the group's next seq.
func (i *insider) say(h datagram.Header, payload []byte) {
	i.seq++
	h.Seq = i.seq
	i.m.handle(nil, i.m.group.Seal(nil, h, payload), i.at)
}

// block says all of block n, each byte changed by x.
func (i *insider) block(n int, x byte) {
	b := bytes.Clone(i.data[n*512 : min((n+1)*512, len(i.data))])
	for k := range b {
		b[k] ^= x
	}
	for e := 0; e*64 < len(b); e++ {
		i.say(datagram.Header{Type: datagram.Data, Block: uint32(n), ESI: uint16(e), Pos: uint32(n)},
			b[e*64:min(len(b), (e+1)*64)])
	}
}

// rest is what comes when HTTP has brought what is missing.
func (i *insider) rest(t *testing.T) {
	t.Helper()
	done := make(chan error, 1)
	go func() { err := i.d.Fill(t.Context(), nil); i.d.End(err); done <- err }()
	b, err := io.ReadAll(i.d)
	if err := errors.Join(err, <-done); err != nil || !bytes.Equal(b, i.data) {
		t.Errorf("%d bytes came, %v; want the %d that are right", len(b), err, len(i.data))
	}
}

func TestInsiderSendsWrongBytes(t *testing.T) {
	i := newInsider(t, 5*512+100)
	i.block(0, 0)
	for n := 1; n < 3; n++ {
		i.block(n, 1)
		if out := i.m.outcome(); out != 0 {
			t.Fatalf("after %d wrong blocks: %v", n, out)
		}
		if !i.m.fallback.has(n) {
			t.Errorf("block %d is not left to HTTP", n)
		}
		i.block(n, 0) // too late: nobody is believed about this block any more
		if i.d.Missing() != 5 {
			t.Errorf("%d blocks are missing, want 5", i.d.Missing())
		}
	}
	i.block(3, 9)
	if out := i.m.outcome(); out != Polluted {
		t.Errorf("after three wrong blocks: %v, want Polluted", out)
	}
	i.rest(t)
}

func TestInsiderTellsLies(t *testing.T) {
	for name, lie := range map[string]func(i *insider){
		"end": func(i *insider) {
			i.say(datagram.Header{Type: datagram.End}, datagram.Status{State: datagram.Closed}.Append(nil))
		},
		"position": func(i *insider) {
			i.say(datagram.Header{Type: datagram.Heartbeat, Pos: 1 << 31},
				datagram.Status{State: datagram.Running}.Append(nil))
		},
		"another block": func(i *insider) {
			i.say(datagram.Header{Type: datagram.Data, Block: 1 << 30}, make([]byte, 64))
		},
		"symbol": func(i *insider) {
			i.say(datagram.Header{Type: datagram.Data, Block: 1, ESI: 60000}, make([]byte, 64))
			i.say(datagram.Header{Type: datagram.Data, Block: 1, ESI: 1}, make([]byte, 63))
			i.say(datagram.Header{Type: datagram.Data, Block: 1, ESI: 1}, nil)
		},
		"status": func(i *insider) { i.say(datagram.Header{Type: datagram.Heartbeat}, []byte("nonsense")) },
		"report": func(i *insider) { i.say(datagram.Header{Type: datagram.Report}, nil) },
		"verdict": func(i *insider) {
			i.say(datagram.Header{Type: datagram.Verdict}, datagram.Status{State: datagram.Demoted}.Append(nil))
		},
		"future": func(i *insider) {
			i.seq = 1<<32 - 3
			i.say(datagram.Header{Type: datagram.Data, Block: 1, ESI: 0}, i.data[512:576])
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInsider(t, 5*512+100)
			i.block(0, 0)
			lie(i)
			if list := i.m.collector.missing(nil, 0, i.m.announced.pos, func(int) bool { return true }); len(list) > 5 {
				t.Errorf("it asks for %v", list)
			}
			i.block(1, 0)
			i.rest(t)
		})
	}
}

// An outsider can repeat what was said, cut it and change it; nothing of that is taken, or counts twice.
func TestOutsider(t *testing.T) {
	i := newInsider(t, 3*512)
	var heard [][]byte
	for e := range 8 {
		i.seq++
		heard = append(heard, i.m.group.Seal(nil, datagram.Header{Type: datagram.Data, Seq: i.seq, ESI: uint16(e)},
			i.data[e*64:(e+1)*64]))
	}
	for _, b := range heard[:7] {
		i.m.handle(nil, b, i.at)
	}
	received := i.m.seqs.received
	later := i.at.Add(time.Minute)
	for _, b := range heard[:7] {
		i.m.handle(nil, b, later)
		for k := range b {
			c := bytes.Clone(b)
			c[k] ^= 0x40
			i.m.handle(nil, c, later)
			i.m.handle(nil, b[:k], later)
		}
	}
	other, err := datagram.NewKey([]byte("fedcba9876543210"), 7)
	if err != nil {
		t.Fatal(err)
	}
	i.m.handle(nil, other.Seal(nil, datagram.Header{Type: datagram.End, Seq: 100},
		datagram.Status{State: datagram.Closed}.Append(nil)), later)
	if i.m.seqs.received != received || !i.m.silence.heard.Equal(i.at) || i.m.announced.ended != 0 ||
		i.d.Missing() != 3 {
		t.Errorf("received %d, heard at %v, ended %v, %d missing", i.m.seqs.received, i.m.silence.heard,
			i.m.announced.ended, i.d.Missing())
	}
	i.m.handle(nil, heard[7], later)
	if i.d.Missing() != 2 {
		t.Error("the block is not whole with its last symbol")
	}
	i.rest(t)
}

// Whoever has the key opens many blocks at once: memory stays what it is.
func TestInsiderOpensBlocks(t *testing.T) {
	i := newInsider(t, 400*512)
	for n := range 400 {
		i.say(datagram.Header{Type: datagram.Data, Block: uint32(399 - n), ESI: 3, Pos: 400}, make([]byte, 64))
	}
	if n := len(i.m.collector.work); n > workLimit {
		t.Errorf("%d blocks are put together at once", n)
	}
	for range 50 {
		i.m.watch(i.m.collector.missing(nil, 0, 400, func(int) bool { return true }), i.at)
	}
	if n := len(i.m.fallback.asked); n > 4*workLimit+65 {
		t.Errorf("%d blocks are watched", n)
	}
}

// FuzzHandle gives a receiver what an insider seals: type, place, and payload, one after the other.
func FuzzHandle(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 4, 1, 2, 3, 4}, uint32(1))
	f.Add([]byte{2, 0, 0, 3, 12, 2, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1}, uint32(1<<31))
	f.Add([]byte{3, 0, 0, 9, 12, 6, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1}, uint32(5))
	f.Fuzz(func(t *testing.T, b []byte, jump uint32) {
		i := newInsider(t, 5*512+100)
		for len(b) >= 5 {
			n := min(int(b[4]), len(b)-5)
			i.say(datagram.Header{Type: datagram.Type(b[0]%6 + 1), Block: uint32(b[1]), ESI: uint16(b[2]),
				Pos: uint32(b[3])}, b[5:5+n])
			i.seq += jump % 70000
			b = b[5+n:]
		}
		i.m.outcome()
		list := i.m.collector.missing(nil, 0, i.m.announced.pos, func(k int) bool { return i.d.buffer.wants(k) })
		i.m.watch(list, i.at)
		if _, err := datagram.ParseMissing(nil, datagram.AppendMissing(nil, list)); err != nil {
			t.Error(err)
		}
	})
}
