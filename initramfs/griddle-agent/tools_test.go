package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"griddle/appliance/site"
	"griddle/initramfs"
)

// bootImage writes the files of a boot image that say where its tools are, and serves the tools: each request waits
// for more.
func bootImage(t *testing.T, more <-chan bool) (root string) {
	t.Helper()
	var raw bytes.Buffer
	const text = "#!/bin/sh\n"
	if err := site.WriteCPIO(&raw, []cpio.Record{cpio.StaticFile("bin/tool", text, 0o755),
		cpio.StaticFile("etc/ssl/certs/ca-certificates.crt", "", 0o644)}); err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	z := enc.EncodeAll(raw.Bytes(), nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !<-more {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(z)
	}))
	t.Cleanup(server.Close)
	sum := sha256.Sum256(z)
	root = t.TempDir() + "/"
	put := func(name string, v any) {
		b, err := json.Marshal(v)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(root+name), 0o755)
		}
		if err == nil {
			err = os.WriteFile(root+name, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(initramfs.BuildPath, initramfs.Build{Version: "test", Tools: &initramfs.Archive{
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(z)), Unpacked: int64(len(text))}})
	put(site.Path, site.Site{HTTP: server.URL, HTTPS: "https://127.0.0.1:1",
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))})
	return root
}

// The tools come before the shell begins. A line that is typed meanwhile starts the shell without them, and is left to
// it; a server that does not have them is named, with what helps.
func TestAwaitTools(t *testing.T) {
	for _, c := range []struct {
		name        string
		typed       string
		found       bool
		before      bool // what is typed ends the waiting before the server answers
		want, never string
	}{
		{"they come", "", true, false, toolsThere, "only the tools"},
		{"a line is typed", "lsblk\n", true, true, "The tools come meanwhile", "only the tools"},
		{"a part of a line is typed", "lsb", true, false, toolsThere, "meanwhile"},
		{"the server has none", "", false, false, "The shell has only the tools of the boot image", toolsThere},
	} {
		t.Run(c.name, func(t *testing.T) {
			more := make(chan bool, 1)
			box, err := boxOf(bootImage(t, more))
			if err != nil {
				t.Fatal(err)
			}
			box.State = t.TempDir()
			far, near, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			defer near.Close()
			shown := make(chan string, 1)
			go func() {
				var all bytes.Buffer
				buf := make([]byte, 1024)
				for {
					n, err := far.Read(buf)
					all.Write(buf[:n])
					if err != nil || bytes.Contains(all.Bytes(), []byte("END")) {
						shown <- all.String()
						return
					}
				}
			}()
			if _, err := far.WriteString(c.typed); err != nil {
				t.Fatal(err)
			}
			if !c.before {
				more <- c.found
			}
			awaitTools(t.Context(), near, box)
			if c.before {
				if box.Has() {
					t.Error("the tools are there before the server answered")
				}
				more <- c.found
				line := make([]byte, 100)
				if n, err := near.Read(line); err != nil || string(line[:n]) != c.typed {
					t.Errorf("the shell reads %q, %v, want %q", line[:n], err, c.typed)
				}
				for end := time.Now().Add(time.Minute); !box.Has() && time.Now().Before(end); {
					time.Sleep(10 * time.Millisecond)
				}
			}
			if box.Has() != c.found {
				t.Errorf("the tools are there: %v, want %v", box.Has(), c.found)
			}
			if _, err := near.WriteString("END"); err != nil {
				t.Fatal(err)
			}
			got := <-shown
			if !strings.Contains(got, c.want) || strings.Contains(got, c.never) ||
				!strings.Contains(got, "Getting more tools") {
				t.Errorf("the terminal shows %q, want %q and not %q", got, c.want, c.never)
			}
			if !c.found && !strings.Contains(got, "make boot") {
				t.Errorf("the terminal shows %q, which does not say what helps", got)
			}
			if c.found {
				awaitTools(t.Context(), near, box) // it would wait for the server, if it asked again
			}
		})
	}
}
