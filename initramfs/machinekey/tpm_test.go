package machinekey

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// software starts swtpm, a TPM in software, and returns how to connect to it.
func software(t *testing.T) opener {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Fatal("swtpm is missing; `make deps` installs it")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(t.Context(), program, "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	// It serves one connection, as long as it runs.
	var conn net.Conn
	for range 1000 {
		if conn, err = net.Dial("unix", socket); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func() (transport.TPMCloser, error) { return transport.FromReadWriteCloser(held{conn}), nil }
}

// held is a connection that stays open.
type held struct{ io.ReadWriter }

func (held) Close() error { return nil }

// clear is what "Clear TPM" in the firmware's setup does.
func clearTPM(t *testing.T, tpm opener) {
	t.Helper()
	c, err := tpm()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(c); err != nil {
		t.Fatal(err)
	}
}

// TestSealed keeps a key with a TPM: only this TPM opens it, until it is cleared, and nothing is left in the clear.
func TestSealed(t *testing.T) {
	tpm, dir, want := software(t), openDir(t), newKey(t)
	if err := keepPlain(dir, newKey(t)); err != nil {
		t.Fatal(err)
	}
	for range 5 { // more often than a TPM has places
		if err := keep(dir, want, tpm); err != nil {
			t.Fatal(err)
		}
		got, err := load(dir, tpm)
		if err != nil || proves(t, got) != proves(t, want) {
			t.Fatalf("load() = another key, %v", err)
		}
	}
	if _, err := dir.Lstat(File); !errors.Is(err, os.ErrNotExist) || !Sealed(dir) {
		t.Errorf("the plain key is left (%v), sealed: %v", err, Sealed(dir))
	}
	if st, err := dir.Lstat(SealedFile); err != nil || st.Mode() != 0o600 {
		t.Errorf("the sealed key has mode %v, %v", st.Mode(), err)
	}
	before, err := dir.ReadFile(SealedFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]opener{"another machine": software(t), "a machine without a TPM": noTPM} {
		if _, err := load(dir, other); !errors.Is(err, ErrCleared) {
			t.Errorf("load() on %s = %v, want ErrCleared", name, err)
		}
	}
	clearTPM(t, tpm)
	if _, err := load(dir, tpm); !errors.Is(err, ErrCleared) {
		t.Errorf("load() after the TPM was cleared = %v, want ErrCleared", err)
	}
	if after, err := dir.ReadFile(SealedFile); err != nil || string(after) != string(before) {
		t.Errorf("the key's file changed: %v", err)
	}
	// An operator approves another key, which replaces it.
	want = newKey(t)
	if err := keep(dir, want, tpm); err != nil {
		t.Fatal(err)
	}
	if got, err := load(dir, tpm); err != nil || proves(t, got) != proves(t, want) {
		t.Errorf("load() of the next key: %v", err)
	}
}

// TestBrokenTPM: a TPM that does not work does not keep an install from ending.
func TestBrokenTPM(t *testing.T) {
	dir, want := openDir(t), newKey(t)
	broken := func() (transport.TPMCloser, error) {
		here, there := net.Pipe()
		there.Close()
		return transport.FromReadWriteCloser(here), nil
	}
	if err := keep(dir, want, broken); err != nil {
		t.Fatal(err)
	}
	if got, err := load(dir, broken); err != nil || Sealed(dir) || proves(t, got) != proves(t, want) {
		t.Errorf("load() = another key, sealed %v, %v", Sealed(dir), err)
	}
}
