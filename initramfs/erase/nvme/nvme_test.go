package nvme

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// controller is a drive that answers with bytes as the specification has them.
type controller struct {
	sanitize   uint32 // SANICAP
	optional   uint16 // OACS
	format     byte   // FNA
	namespaces []uint32
	allocated  []uint32
	flbas, dps byte

	log    []uint16 // SSTAT of the next answers, the last one for ever
	action uint32
	refuse map[byte]uint16
	broken map[byte]error
	done   []Command
}

func (c *controller) Do(cmd Command) (uint16, error) {
	c.done = append(c.done, cmd)
	if err := c.broken[cmd.Opcode]; err != nil {
		return 0, err
	}
	if s := c.refuse[cmd.Opcode]; s != 0 {
		return s, nil
	}
	le := binary.LittleEndian
	b := cmd.Data
	list := func(ids []uint32) {
		for i, n := range ids {
			le.PutUint32(b[4*i:], n)
		}
	}
	switch cmd.Opcode {
	case opIdentify:
		switch cmd.Words[0] {
		case 0:
			le.PutUint64(b, 1<<20)
			b[26], b[29] = c.flbas, c.dps
		case 1:
			le.PutUint16(b[256:], c.optional)
			le.PutUint32(b[328:], c.sanitize)
			b[524] = c.format
		case 2:
			list(c.namespaces)
		case 0x10:
			list(c.allocated)
		}
	case opGetLogPage:
		state := uint16(0)
		if len(c.log) > 0 {
			state = c.log[0]
		}
		if len(c.log) > 1 {
			c.log = c.log[1:]
		}
		le.PutUint16(b, 0x4000)
		le.PutUint16(b[2:], state)
		le.PutUint32(b[4:], c.action)
	}
	return 0, nil
}

func (c *controller) drive() Drive { return Drive{Do: c.Do, Namespace: 1, Pause: time.Microsecond} }

func TestLook(t *testing.T) {
	one := []uint32{1}
	for name, c := range map[string]struct {
		drive controller
		want  Abilities
	}{
		"nothing": {controller{namespaces: one}, Abilities{}},
		"all of it": {controller{sanitize: 7, optional: 2, format: 4, namespaces: one, flbas: 0x11, dps: 9},
			Abilities{Sanitize: []Action{BlockErase, CryptoErase, Overwrite}, Format: []SecureErase{UserData,
				Cryptographic},
				formatted: Formatted{LBA: 1, Extended: true, Protection: 1, First: 1}}},
		"format alone, as QEMU has it": {controller{optional: 2, namespaces: one},
			Abilities{Format: []SecureErase{UserData}}},
		"two namespaces": {controller{sanitize: 3, optional: 2, namespaces: []uint32{1, 2}},
			Abilities{Format: []SecureErase{UserData}, Notes: []string{
				"Sanitize is not used: the drive has other namespaces, and it would erase them too"}}},
		"two namespaces, formatted together": {controller{sanitize: 3, optional: 2, format: 2, namespaces: []uint32{1,
			2}},
			Abilities{Notes: []string{"Sanitize is not used: the drive has other namespaces, and it would erase " +
				"them too",
				"Format NVM is not used: the drive has other namespaces, and erases all of them"}}},
		"a namespace that is not attached": {controller{sanitize: 3, optional: 8, namespaces: one,
			allocated: []uint32{1, 7}}, Abilities{Notes: []string{
			"Sanitize is not used: the drive has other namespaces, and it would erase them too"}}},
		"management, and nothing else": {controller{sanitize: 1, optional: 8, namespaces: one, allocated: one},
			Abilities{Sanitize: []Action{CryptoErase}}},
		"a sanitize is under way": {controller{sanitize: 3, optional: 2, namespaces: one, log: []uint16{2}, action: 4},
			Abilities{Sanitize: []Action{BlockErase, CryptoErase}, Running: CryptoErase}},
	} {
		got, err := c.drive.drive().Look()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
		for _, cmd := range c.drive.done {
			if cmd.Opcode != opIdentify && cmd.Opcode != opGetLogPage {
				t.Errorf("%s: looking sent the command %#x", name, cmd.Opcode)
			}
		}
	}
	// What cannot be asked for is not assumed.
	for _, op := range []byte{opIdentify, opGetLogPage} {
		c := controller{sanitize: 7, optional: 2, namespaces: one, refuse: map[byte]uint16{op: 0x4002}}
		if _, err := c.drive().Look(); !errors.Is(err, ErrRefused) {
			t.Errorf("command %#x refused: %v", op, err)
		}
	}
}

// TestCommands: the words of each command, by NVM Express 1.4.
func TestCommands(t *testing.T) {
	for _, c := range []struct {
		name string
		got  Command
		op   byte
		word uint32
	}{
		{"block erase", SanitizeCommand(BlockErase), 0x84, 0x0a},
		{"crypto erase", SanitizeCommand(CryptoErase), 0x84, 0x0c},
		{"overwrite once", SanitizeCommand(Overwrite), 0x84, 0x1b},
		{"exit failure mode", SanitizeCommand(exitFailure), 0x84, 0x01},
		{"format, user data", FormatCommand(1, Formatted{}, UserData), 0x80, 0x200},
		{"format, crypto, as it was", FormatCommand(1, Formatted{LBA: 3, Extended: true, Protection: 2, First: 1},
			Cryptographic), 0x80, 0x553},
		{"log", sanitizeLog(), 0x02, 0x7f0081},
	} {
		if c.got.Opcode != c.op || c.got.Words != [6]uint32{c.word} {
			t.Errorf("%s: %#x %#x, want %#x %#x", c.name, c.got.Opcode, c.got.Words, c.op, c.word)
		}
	}
	if n := unsafe.Sizeof(passthru{}); n != 72 {
		t.Errorf("struct nvme_passthru_cmd has %d bytes, want 72", n)
	}
}

func TestSanitize(t *testing.T) {
	for name, c := range map[string]struct {
		drive   controller
		running bool
		wrong   string
		sent    []uint32 // first words of the Sanitize commands
	}{
		"works":           {drive: controller{log: []uint16{0, 2, 2, 0x101}}, sent: []uint32{0x0a}},
		"not deallocated": {drive: controller{log: []uint16{0, 2, 4}}, sent: []uint32{0x0a}},
		"is under way":    {drive: controller{log: []uint16{2, 2, 1}}, running: true},
		"fails": {drive: controller{log: []uint16{0, 2, 3}}, wrong: "its Sanitize failed",
			sent: []uint32{0x0a, 1}},
		"after one that failed": {drive: controller{log: []uint16{3, 2, 1}}, sent: []uint32{1, 0x0a}},
		"is forgotten":          {drive: controller{log: []uint16{0}}, wrong: "knows nothing", sent: []uint32{0x0a}},
		"is refused": {drive: controller{refuse: map[byte]uint16{opSanitize: 0x1d}},
			wrong: "status 0x01d", sent: []uint32{0x0a}},
		"the drive stays silent": {drive: controller{broken: map[byte]error{opGetLogPage: os.ErrDeadlineExceeded}},
			wrong: "timeout", sent: []uint32{0x0a}},
	} {
		c.drive.action = uint32(BlockErase)
		last := -1.0
		err := c.drive.drive().Sanitize(t.Context(), BlockErase, c.running, func(f float64) { last = f })
		if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) || err == nil &&
			last != 1 {
			t.Errorf("%s: %v, done %v, want %q", name, err, last, c.wrong)
		}
		var sent []uint32
		for _, cmd := range c.drive.done {
			if cmd.Opcode == opSanitize {
				sent = append(sent, cmd.Words[0])
			}
		}
		if !reflect.DeepEqual(sent, c.sent) {
			t.Errorf("%s: sent %#x, want %#x", name, sent, c.sent)
		}
	}
	c := controller{log: []uint16{2}}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(os.ErrClosed)
	if err := c.drive().Sanitize(ctx, BlockErase, false, func(float64) {}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("stopped: %v", err)
	}
}

func TestReadStatus(t *testing.T) {
	b := make([]byte, 512)
	le := binary.LittleEndian
	le.PutUint16(b, 0x8000)
	le.PutUint16(b[2:], 2)
	le.PutUint32(b[4:], 0x1b)
	le.PutUint32(b[8:], 3600)
	if s, err := ReadStatus(b); err != nil || s != (Status{Running, Overwrite, 0.5, time.Hour}) {
		t.Errorf("%+v, %v", s, err)
	}
	le.PutUint32(b[8:], 0xffffffff)
	if s, _ := ReadStatus(b); s.Estimate != 0 {
		t.Errorf("%+v", s)
	}
	le.PutUint16(b[2:], 7)
	if s, err := ReadStatus(b); err == nil {
		t.Errorf("an unknown status: %+v", s)
	}
}

// TestOfFile: what is not an NVMe disk says so.
func TestOfFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Of(f); err == nil {
		t.Error("a file has a namespace")
	}
	if _, err := admin(f, sanitizeLog()); err == nil {
		t.Error("a file takes commands")
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(make([]byte, 4096))
	f.Add([]byte{0, 0, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReadController(b)
		if s, err := ReadFormatted(b); err == nil && (s.LBA > 15 || s.Protection > 7 || s.First > 1) {
			t.Errorf("%+v", s)
		}
		if n := ReadNamespaces(b); len(n) > len(b)/4 {
			t.Errorf("%d namespaces in %d bytes", len(n), len(b))
		}
		if s, err := ReadStatus(b); err == nil && (s.Fraction < 0 || s.Fraction >= 1 || s.Estimate < 0) {
			t.Errorf("%+v", s)
		}
	})
}
