package ata

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// identity is the answer to IDENTIFY DEVICE with some words set.
func identity(words map[int]uint16) []byte {
	b := make([]byte, identitySize)
	for n, w := range words {
		binary.LittleEndian.PutUint16(b[2*n:], w)
	}
	return b
}

func TestReadIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		words map[int]uint16
		want  Identity
	}{
		"nothing": {nil, Identity{}},
		"sanitize": {map[int]uint16{59: 0xf000, 217: 1}, Identity{Block: true,
			Overwrite: true, Crypto: true, Solid: true}},
		"sanitize actions without the feature": {map[int]uint16{59: 0xe000}, Identity{}},
		"crypto scramble alone":                {map[int]uint16{59: 0x3000}, Identity{Crypto: true}},
		"security, frozen": {map[int]uint16{128: 0x29, 89: 30, 90: 0x80c8},
			Identity{Security: true, Frozen: true, Enhanced: true, Normal: time.Hour, Enhance: 400 * time.Minute}},
		"locked and expired": {map[int]uint16{128: 0x17}, Identity{Security: true, Enabled: true, Locked: true,
			Expired: true}},
		"hidden area": {map[int]uint16{82: 0x400, 83: 0x4400, 100: 0x1000, 102: 1}, Identity{Hides: true,
			Sectors: 1<<32 + 0x1000}},
		"words 82 and 83 not valid": {map[int]uint16{82: 0x400, 83: 0xc400}, Identity{}},
	} {
		got, err := ReadIdentity(identity(c.words))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
	if _, err := ReadIdentity(identity(map[int]uint16{0: 0x85c0})); err == nil {
		t.Error("an optical drive is a disk")
	}
	if _, err := ReadIdentity(make([]byte, 511)); err == nil {
		t.Error("511 bytes are an identity")
	}
}

// TestBlock: the bytes of each command, by SAT-4 and ACS-4.
func TestBlock(t *testing.T) {
	for name, c := range map[string]struct {
		cmd  Command
		want string
	}{
		"identify": {Command{Op: opIdentify, In: make([]byte, 512), Count: 1},
			"85 08 0e 0000 0001 000000000000 00 ec 00"},
		"sanitize status": {sanitizeCommand(sanitizeStatus), "85 07 20 0000 0000 000000000000 40 b4 00"},
		"block erase":     {sanitizeCommand(BlockErase), "85 07 20 0012 0010 42720045006b 40 b4 00"},
		"crypto scramble": {sanitizeCommand(CryptoScramble), "85 07 20 0011 0010 437000790072 40 b4 00"},
		"overwrite":       {sanitizeCommand(Overwrite), "85 07 20 0014 0011 000057004f00 40 b4 00"},
		"erase prepare":   {Command{Op: opErasePrepare}, "85 06 00 0000 0000 000000000000 00 f3 00"},
		"security erase":  {security(opEraseUnit, true, 0), "85 0a 06 0000 0001 000000000000 00 f4 00"},
	} {
		block := c.cmd.Block()
		if got, want := hex.EncodeToString(block[:]), strings.ReplaceAll(c.want, " ", ""); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	b := security(opEraseUnit, true, 0).Out
	if len(b) != 512 || b[0] != 2 || b[1] != 0 || string(bytes.TrimRight(b[2:34], "\x00")) != Password {
		t.Errorf("the sector of an enhanced erase is % x", b[:40])
	}
	if b := security(opSetPassword, false, 0).Out; b[0] != 0 || b[1] != 0 {
		t.Errorf("the password is not the user's, of the level high: % x", b[:2])
	}
	if n := unsafe.Sizeof(sgIO{}); n != 88 {
		t.Errorf("struct sg_io_hdr has %d bytes, want 88", n)
	}
}

// senseOf is sense data with the registers of an answer, as the kernel makes it (ata_gen_passthru_sense in
// drivers/ata/libata-scsi.c).
func senseOf(a Answer) []byte {
	b := []byte{0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 1, a.Error, byte(a.Count >> 8), byte(a.Count)}
	for _, shift := range []int{24, 0, 32, 8, 40, 16} {
		b = append(b, byte(a.LBA>>shift))
	}
	return append(b, 0x40, a.Status)
}

func TestAnswer(t *testing.T) {
	want := Answer{Error: 4, Status: 0x51, Count: 0x8010, LBA: 0x123456789abc}
	for name, sense := range map[string][]byte{
		"alone": senseOf(want),
		"after another descriptor": append(append([]byte{0x72, 0, 0, 0, 0, 0, 0, 26}, 0, 10, 1, 2, 3, 4, 5, 6, 7, 8,
			9, 10), senseOf(want)[8:]...),
	} {
		if got, ok := ReadAnswer(sense); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, want)
		}
	}
	for name, sense := range map[string][]byte{"nothing": nil, "fixed": append([]byte{0x70}, make([]byte, 17)...),
		"cut": senseOf(want)[:20], "no descriptor": {0x72, 0, 0, 0, 0, 0, 0, 0}} {
		if got, ok := ReadAnswer(sense); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
	fine := Answer{Status: 0x50, Count: 0x4000}
	for name, c := range map[string]struct {
		status       uint8
		host, driver uint16
		sense        []byte
		answers      bool
		wrong        string
	}{
		"fine":                        {0, 0, 0, nil, false, ""},
		"fine, with registers":        {2, 0, 8, senseOf(fine), true, ""},
		"refused":                     {2, 0, 8, senseOf(want), true, "status 0x51, error 0x04"},
		"refused, without registers":  {2, 0, 8, []byte{0x70, 0, 5}, false, "sense 70 00 05"},
		"no registers":                {0, 0, 0, nil, true, "did not answer with its registers"},
		"a condition that was no ask": {2, 0, 8, senseOf(fine), false, "sense"},
		"timeout":                     {0, 3, 0, nil, false, "host status 0x3"},
		"busy":                        {8, 0, 0, nil, false, "SCSI status 0x08"},
	} {
		_, err := conclude(c.status, c.host, c.driver, c.sense, c.answers)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", name, err, c.wrong)
		}
	}
}

// disk is an ATA disk that does what the specification says.
type disk struct {
	words    map[int]uint16
	frozen   bool     // sanitize
	answers  []uint16 // counts of the next sanitize statuses, the last one for ever
	native   uint64
	password string
	refuse   map[byte]error
	done     []byte
}

func (d *disk) Do(c Command) (Answer, error) {
	d.done = append(d.done, c.Op)
	if err := d.refuse[c.Op]; err != nil {
		return Answer{}, err
	}
	fits := func() error {
		if d.password != "" && string(bytes.TrimRight(c.Out[2:34], "\x00")) != d.password {
			return errors.New("aborted")
		}
		return nil
	}
	switch c.Op {
	case opIdentify:
		copy(c.In, identity(d.words))
	case opReadNativeMax:
		return Answer{LBA: d.native}, nil
	case opSanitize:
		if c.Feature != 0 {
			return Answer{}, nil
		}
		a := Answer{LBA: 0x8000}
		if d.frozen {
			a.Count = 0x2000
		}
		if len(d.answers) > 0 {
			a.Count = d.answers[0]
		}
		if len(d.answers) > 1 {
			d.answers = d.answers[1:]
		}
		return a, nil
	case opSetPassword:
		d.password = string(bytes.TrimRight(c.Out[2:34], "\x00"))
	case opUnlock:
		return Answer{}, fits()
	case opEraseUnit, opDisablePassword:
		if err := fits(); err != nil {
			return Answer{}, err
		}
		d.password = ""
	}
	return Answer{}, nil
}

func (d *disk) drive() Drive { return Drive{Do: d.Do, Pause: time.Microsecond} }

func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		disk    disk
		actions []Action
		erase   bool
		hidden  uint64
		running bool
		note    string
	}{
		"nothing": {disk: disk{}},
		"all": {disk: disk{words: map[int]uint16{59: 0xf000, 128: 0x21}}, actions: []Action{BlockErase,
			CryptoScramble, Overwrite}, erase: true},
		"sanitize frozen": {disk: disk{words: map[int]uint16{59: 0xf000}, frozen: true},
			note: "the firmware of the machine froze it"},
		"sanitize running": {disk: disk{words: map[int]uint16{59: 0x9000}, answers: []uint16{0x4000}},
			actions: []Action{BlockErase}, running: true},
		"sanitize is silent": {disk: disk{words: map[int]uint16{59: 0x9000},
			refuse: map[byte]error{opSanitize: os.ErrInvalid}}, note: "SANITIZE DEVICE is not used"},
		"security frozen": {disk: disk{words: map[int]uint16{128: 0x29}},
			note: "unplug its power for some seconds while the machine is on"},
		"expired": {disk: disk{words: map[int]uint16{128: 0x17}}, note: "too many wrong passwords"},
		"hidden area": {disk: disk{words: map[int]uint16{82: 0x400, 83: 0x4400, 100: 1000}, native: 1199},
			hidden: 200},
		"nothing hidden": {disk: disk{words: map[int]uint16{82: 0x400, 83: 0x4400, 100: 1000}, native: 999}},
	} {
		got, err := c.disk.drive().Look()
		notes := strings.Join(got.Notes, "; ")
		if err != nil || !reflect.DeepEqual(got.Sanitize, c.actions) || got.Erase != c.erase ||
			got.Hidden != c.hidden ||
			got.Running != c.running || !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestSanitize(t *testing.T) {
	for name, c := range map[string]struct {
		disk    disk
		running bool
		wrong   string
		begins  int
	}{
		"works":     {disk: disk{answers: []uint16{0x4000, 0x4000, 0x8000}}, begins: 1},
		"under way": {disk: disk{answers: []uint16{0x4000, 0x8000}}, running: true},
		"fails":     {disk: disk{answers: []uint16{0x4000, 0}}, wrong: "did not succeed", begins: 1},
	} {
		last := -1.0
		err := c.disk.drive().Sanitize(t.Context(), BlockErase, c.running, func(f float64) { last = f })
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) || err == nil &&
			last != 1 {
			t.Errorf("%s: %v, done %v", name, err, last)
		}
	}
	d := disk{refuse: map[byte]error{opSanitize: os.ErrInvalid}}
	if err := d.drive().Sanitize(t.Context(), BlockErase, false, nil); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(os.ErrClosed)
	d = disk{answers: []uint16{0x4000}}
	if err := d.drive().Sanitize(ctx, BlockErase, false, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("stopped: %v", err)
	}
}

// TestSecurityErase: the order of the commands, and no password stays.
func TestSecurityErase(t *testing.T) {
	const foreign = "someone else"
	for name, c := range map[string]struct {
		disk  disk
		sent  string
		wrong string
		left  string // password
	}{
		"works":              {disk{words: map[int]uint16{128: 0x21}}, "f1 f3 f4", "", ""},
		"interrupted before": {disk{words: map[int]uint16{128: 0x27}, password: Password}, "f2 f3 f4", "", ""},
		"locked by others": {disk{words: map[int]uint16{128: 0x27}, password: foreign}, "f2",
			"a password that is not known", foreign},
		"has others' password": {disk{words: map[int]uint16{128: 0x23}, password: foreign}, "f3 f4 f6",
			"its password", foreign},
		"no password accepted": {disk{words: map[int]uint16{128: 0x21},
			refuse: map[byte]error{opSetPassword: os.ErrInvalid}}, "f1", "SET PASSWORD", ""},
		"the erase is refused": {disk{words: map[int]uint16{128: 0x21},
			refuse: map[byte]error{opEraseUnit: os.ErrInvalid}}, "f1 f3 f4 f6", "ERASE UNIT", ""},
		"the prepare is refused": {disk{words: map[int]uint16{128: 0x21},
			refuse: map[byte]error{opErasePrepare: os.ErrInvalid}}, "f1 f3 f6", "ERASE PREPARE", ""},
	} {
		can, err := c.disk.drive().Look()
		if err != nil || !can.Erase {
			t.Errorf("%s: %+v, %v", name, can, err)
			continue
		}
		c.disk.done = nil
		err = c.disk.drive().SecurityErase(can, true)
		sent := hexes(c.disk.done)
		if sent != c.sent || c.disk.password != c.left || (err == nil) != (c.wrong == "") ||
			err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: sent %s, want %s; password %q, want %q; %v", name, sent, c.sent, c.disk.password, c.left, err)
		}
	}
}

func hexes(b []byte) string {
	var out []string
	for _, c := range b {
		out = append(out, hex.EncodeToString([]byte{c}))
	}
	return strings.Join(out, " ")
}

// TestOfFile: what is not a disk takes no command.
func TestOfFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Of(f).Look(); err == nil {
		t.Error("a file answers")
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(senseOf(Answer{Status: 0x50}))
	f.Add(identity(map[int]uint16{59: 0xf000, 128: 0x29, 90: 0xffff}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := ReadAnswer(b); ok && a.LBA>>48 != 0 {
			t.Errorf("%+v", a)
		}
		if id, err := ReadIdentity(b); err == nil && (id.Normal < 0 || id.Enhance < 0) {
			t.Errorf("%+v", id)
		}
	})
}
