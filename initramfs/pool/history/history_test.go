package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const appendEnv = "GRIDDLE_TEST_APPEND"

// TestMain is, with appendEnv, the program that TestKilled kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(appendEnv); dir != "" {
		appendForEver(dir)
	}
	os.Exit(m.Run())
}

func folder(t testing.TB) *os.Root {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func write(t testing.TB, dir *os.Root, text string) {
	t.Helper()
	if err := dir.WriteFile(File, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What was appended is read again, in order and bounded.
func TestAppend(t *testing.T) {
	dir := folder(t)
	if got, err := Read(dir); err != nil || len(got) != 0 {
		t.Errorf("Read of an empty folder = %v, %v", got, err)
	}
	at := time.Date(2026, 11, 29, 11, 0, 0, 999, time.FixedZone("", 3600))
	lines := []string{"", "\x1b[31mred\n", "\x00"}
	for i := range 30 {
		lines = append(lines, fmt.Sprint(i))
	}
	in := []Event{
		{Time: at, Kind: Made, Root: "web-1@amd64", Image: "web-1@amd64"},
		{Time: at.Add(time.Minute), Kind: Failed, Root: "web-1@amd64", Reason: strings.Repeat("x", 500), Lines: lines},
		{Time: at.Add(time.Minute), Kind: Blessed, Root: "a\nb", Lines: lines[:3]},
	}
	for _, e := range in {
		if err := Append(dir, e); err != nil {
			t.Fatal(err)
		}
	}
	utc := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	want := []Event{
		{Time: utc, Kind: Made, Root: "web-1@amd64", Image: "web-1@amd64"},
		{Time: utc.Add(time.Minute), Kind: Failed, Root: "web-1@amd64", Reason: strings.Repeat("x", 400),
			Lines: lines[13:]},
		{Time: utc.Add(time.Minute), Kind: Blessed, Root: "a b", Lines: []string{"[31mred"}},
	}
	if got, err := Read(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, %v, want %+v", got, err, want)
	}
	if err := Append(dir, Event{Kind: Deleted}); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir); err != nil || time.Since(got[3].Time) > time.Hour {
		t.Errorf("an event without a time is of %v, %v", got, err)
	}
}

// The file keeps the newest events, and does not grow.
func TestLimits(t *testing.T) {
	dir := folder(t)
	for i := range 2 * maxEvents {
		if err := Append(dir, Event{Kind: Started, Root: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(dir)
	if err != nil || len(got) != maxEvents || got[0].Root != "200" || got[maxEvents-1].Root != "399" {
		t.Errorf("Read = %d events, %v, want the newest %d", len(got), err, maxEvents)
	}
	long := Event{Kind: Failed}
	for range maxLines {
		long.Lines = append(long.Lines, strings.Repeat("€", 400))
	}
	for range 20 {
		if err := Append(dir, long); err != nil {
			t.Fatal(err)
		}
	}
	st, err := dir.Stat(File)
	if err != nil || st.Size() > maxBytes {
		t.Errorf("the file has %d bytes, %v, want at most %d", st.Size(), err, maxBytes)
	}
	if got, err := Read(dir); err != nil || len(got) != 10 {
		t.Errorf("Read = %d events, %v, want the 10 that fit", len(got), err)
	}
}

// Lines that are not events are skipped, and are gone after the next event.
func TestDamaged(t *testing.T) {
	const good = `{"time":"2026-11-29T10:00:00Z","kind":"made","root":"one"}` + "\n"
	for name, text := range map[string]string{
		"torn":    good + `{"time":"2026-11-29T10:00`,
		"no end":  good + strings.TrimSpace(good),
		"zeros":   strings.Repeat("\x00", 512) + "\n" + good,
		"foreign": "hello\n{}\n[]\nnull\n\n" + good + `{"kind":7}` + "\n",
		"large":   strings.Repeat("x", 2*maxBytes) + "\n" + good,
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			write(t, dir, text)
			if got, err := Read(dir); err != nil || len(got) != 1 || got[0].Root != "one" {
				t.Errorf("Read = %+v, %v, want the event of one", got, err)
			}
			if err := Append(dir, Event{Kind: Made, Root: "two"}); err != nil {
				t.Fatal(err)
			}
			if got, err := Read(dir); err != nil || len(got) != 2 || got[1].Root != "two" {
				t.Errorf("Read = %+v, %v, want the events of one and two", got, err)
			}
			if b, err := dir.ReadFile(File); err != nil || !strings.HasPrefix(string(b), good) {
				t.Errorf("the file is %.200q, %v", b, err)
			}
		})
	}
}

// What is not a file is refused, and waits for no one.
func TestNotAFile(t *testing.T) {
	dir := folder(t)
	if err := dir.Mkdir(File, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Read of a folder = %v", err)
	}
	if err := Append(dir, Event{Kind: Made}); err == nil {
		t.Error("Append to a folder succeeded")
	}
	if err := errors.Join(dir.Remove(File), dir.Symlink("/etc/passwd", File)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil {
		t.Error("Read followed a symlink")
	}
}

// Programs that append at the same time lose no event.
func TestAtTheSameTime(t *testing.T) {
	dir := folder(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 10 {
				if err := Append(dir, Event{Kind: Made, Root: fmt.Sprint(i, j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := Read(dir); err != nil || len(got) != 40 {
		t.Errorf("Read = %d events, %v, want 40", len(got), err)
	}
}

func appendForEver(name string) {
	dir, err := os.OpenRoot(name)
	for i := 0; err == nil; i++ {
		err = Append(dir, Event{Kind: Started, Root: fmt.Sprint(i)})
		fmt.Println(i)
	}
	fmt.Println(err)
	os.Exit(1)
}

// An Append that is killed anywhere leaves a whole file.
func TestKilled(t *testing.T) {
	dir := folder(t)
	for range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), appendEnv+"="+dir.Name())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("the program ended by itself: %v", err)
		}
		b, err := os.ReadFile(filepath.Join(dir.Name(), File))
		got, err2 := Read(dir)
		if err != nil || err2 != nil || len(got) != strings.Count(string(b), "\n") || len(got) == 0 {
			t.Fatalf("after a kill the file is %q, %v, %v", b, err, err2)
		}
	}
}

// Whatever the file has, its events stay when one is added.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-29T10:00:00Z","kind":"made","root":"one"}` + "\n" + `{"kind":"fai`))
	f.Add([]byte("\x00\n{\"kind\":\"\\u0000\"}\n"))
	const last = `{"kind":"made","root":"last"}` + "\n"
	f.Fuzz(func(t *testing.T, b []byte) {
		before, after := parse(b), parse(with(b, []byte(last)))
		if len(b) < maxBytes-len(last) {
			before = before[max(0, len(before)-maxEvents+1):]
		} else {
			before = before[:0]
		}
		same := func(a, b Event) bool { return reflect.DeepEqual(a, b) }
		last := len(after) - 1
		if last < len(before) || !slices.EqualFunc(after[last-len(before):last], before, same) ||
			after[last].Root != "last" {
			t.Errorf("events before %+v, after %+v", before, after)
		}
	})
}

// An image that came in the second of its event is the one that the event is about.
func TestDamages(t *testing.T) {
	at := time.Date(2026, 11, 20, 8, 0, 1, 0, time.UTC)
	e := Event{Kind: Damaged, Image: "web", Time: at}
	for created, want := range map[time.Time]bool{at.Add(-time.Hour): true, at.Add(900 * time.Millisecond): true,
		at.Add(time.Second): false} {
		if got := e.Damages("web", created); got != want {
			t.Errorf("an image of %v is damaged by an event of %v: %v, want %v", created, at, got, want)
		}
	}
	if e.Damages("other", at.Add(-time.Hour)) {
		t.Error("it damages another image")
	}
}
