package tarball

import (
	"encoding/binary"
	"strings"
	"testing"
)

// FuzzACLText gives it whatever an image may say is an ACL.
func FuzzACLText(f *testing.F) {
	entry := func(b []byte, tag, perm uint16, id uint32) []byte {
		b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, tag), perm)
		return binary.LittleEndian.AppendUint32(b, id)
	}
	good := entry(entry(entry([]byte{2, 0, 0, 0}, aclUserObj, 7, 0xffffffff), aclUser, 5, 1234),
		aclOther, 0, 0xffffffff)
	if text, ok := aclText(good); !ok || text != "user::rwx\nuser:1234:r-x\nother::---" {
		f.Errorf("aclText = %q, %v", text, ok)
	}
	f.Add(good)
	f.Add([]byte{2, 0, 0, 0})
	f.Add(entry([]byte{2, 0, 0, 0}, 0x40, 8, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, ok := aclText(b)
		if lines := strings.Count(text, "\n") + 1; ok && lines != (len(b)-4)/8 {
			t.Errorf("%d bytes give %d lines: %q", len(b), lines, text)
		}
	})
}
