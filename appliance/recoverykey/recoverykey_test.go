package recoverykey

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestText has the letters of all values, in their places (src/test/test-recovery-key.c of systemd).
func TestText(t *testing.T) {
	secret := bytes.Repeat([]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}, 4)
	const want = "cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv"
	if got := text(secret); got != want || len(got) != Size {
		t.Errorf("text = %s, want %s of %d bytes", got, want, Size)
	}
	for _, s := range []string{want, strings.ReplaceAll(want, "-", ""), strings.ToUpper(want),
		strings.Replace(want, "-", "", 3)} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-", want[1:], want + "c", want + "-", "-" + want,
		strings.Replace(want, "c", "x", 1), strings.Replace(want, "-", "--", 1), strings.Replace(want, "b", "-b", 1),
		want + "\n", " " + want,
		strings.Repeat("ä", 32)} {
		if got, err := Parse(s); !errors.Is(err, ErrForm) || got != "" {
			t.Errorf("Parse(%q) = %q, %v, want ErrForm", s, got, err)
		}
	}
}

// TestNew makes keys that differ.
func TestNew(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		key := New()
		if got, err := Parse(key); err != nil || got != key || seen[key] {
			t.Fatalf("New = %s, which is read as %s, %v", key, got, err)
		}
		seen[key] = true
	}
}

// FuzzParse reads any text: what is read is written in one way, and is read as the same again.
func FuzzParse(f *testing.F) {
	f.Add(text(make([]byte, bits/8)))
	f.Add("CBDEFGHI-jklnrtuv")
	f.Add("--")
	f.Fuzz(func(t *testing.T, s string) {
		key, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(key); err != nil || again != key || len(key) != Size ||
			strings.ReplaceAll(key, "-", "") != strings.ToLower(strings.ReplaceAll(s, "-", "")) {
			t.Errorf("%q is %q, and that is %q, %v", s, key, again, err)
		}
	})
}
