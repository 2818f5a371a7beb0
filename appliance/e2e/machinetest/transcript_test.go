package machinetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTranscriptWait(t *testing.T) {
	tests := []struct {
		name, said, pattern, want string
	}{
		{"a whole line", "one\r\ntwo\r\n", `^two$`, "two"},
		{"a prompt without its end", "Debian\r\n\r\nweb login: ", `login: $`, "web login: "},
		{"control sequences are not seen", "\x1b[0;32m  OK  \x1b[0m] Started\n",
			`^  OK  \] Started$`, "  OK  ] Started"},
		{"the first of two", "line 1\nline 2\n", `^line`, "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := NewTranscript("test")
			fmt.Fprint(tr, tt.said)
			got, err := tr.Wait(t.Context(), tt.pattern)
			if err != nil || got.Text != tt.want {
				t.Errorf("Wait(%q) = %q, %v, want %q", tt.pattern, got.Text, err, tt.want)
			}
		})
	}
}

func TestTranscriptWaitsForWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTranscript("test")
		go func() {
			time.Sleep(3 * time.Second)
			fmt.Fprint(tr, "log")
			time.Sleep(3 * time.Second)
			fmt.Fprint(tr, "in: ")
		}()
		got, err := tr.Wait(t.Context(), `^login: $`)
		if want := (Line{At: 3 * time.Second, Text: "login: "}); err != nil || got != want {
			t.Errorf("Wait = %v, %v, want %v", got, err, want)
		}
	})
}

func TestTranscriptGoesOnBehindTheLastFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTranscript("test")
		fmt.Fprint(tr, "boot\nready\nboot\nlogin: ")
		for _, pattern := range []string{"boot", "boot", "login"} {
			if _, err := tr.Wait(t.Context(), pattern); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if l, err := tr.Wait(ctx, "ready"); err == nil {
			t.Errorf("Wait found %v again", l)
		}
	})
}

func TestTranscriptEnds(t *testing.T) {
	tr := NewTranscript("test")
	fmt.Fprint(tr, "panic: out of luck\n")
	gone := errors.New("the machine is off")
	tr.End(gone)
	_, err := tr.Wait(t.Context(), "login:")
	if !errors.Is(err, gone) || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("Wait = %v, want an error that wraps %q and shows the last line", err, gone)
	}
}
