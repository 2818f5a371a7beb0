package job

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestCheckLine(t *testing.T) {
	for _, c := range []struct {
		argv    []string
		seconds int
		want    string
	}{
		{[]string{"systemctl", "restart", "nginx"}, 0, ""},
		{[]string{"sh", "-c", "echo $HOME\n"}, 3600, ""},
		{nil, 0, "names no program"},
		{[]string{"", "x"}, 0, "names no program"},
		{[]string{"a\x00b"}, 0, "no program can get"},
		{[]string{"a\xff"}, 0, "no program can get"},
		{[]string{strings.Repeat("x", MaxLine+1)}, 0, "put it into a file"},
		{strings.Split(strings.Repeat("x ", MaxWords), " "), 0, "put it into a file"},
		{[]string{"true"}, -1, "1 to 3600 seconds"},
		{[]string{"true"}, 3601, "1 to 3600 seconds"},
	} {
		err := CheckLine(c.argv, c.seconds)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("CheckLine(%.40q, %d) = %v, want %q", c.argv, c.seconds, err, c.want)
		}
	}
	for seconds, want := range map[int]time.Duration{0: time.Minute, 5: 5 * time.Second, -1: time.Minute,
		1 << 40: time.Minute} {
		if got := (Spec{Limit: seconds}).RunLimit(); got != want {
			t.Errorf("RunLimit of %d = %s, want %s", seconds, got, want)
		}
	}
	if got := Words([]string{"sh", "-c", "a b\x1b[2J", ""}); got != `sh -c "a b\x1b[2J" ""` {
		t.Errorf("Words = %s", got)
	}
}

// FuzzReadable: what a program says moves no cursor, and hides nothing.
func FuzzReadable(f *testing.F) {
	for _, s := range []string{"a\tb\r\nc", "\x1b[2Jx", "\u202egnp.exe", "\xff\x9b", "\rover"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range Readable(b) {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Fatalf("Readable(%q) has %U", b, r)
			}
		}
		in := JobReport{Ran: &Ran{Output: b, Cut: int64(len(b)) - 5}}.bounded()
		once, err := json.Marshal(in)
		if err != nil || len(in.Ran.Output) > MaxOutput || in.Ran.Cut < 0 {
			t.Fatalf("bounded: %v, %d bytes, %d cut", err, len(in.Ran.Output), in.Ran.Cut)
		}
		if twice, _ := json.Marshal(in.bounded()); string(twice) != string(once) {
			t.Fatalf("bounded twice is %s, and once %s", twice, once)
		}
	})
}
