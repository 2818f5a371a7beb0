package luks

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const volume = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// image is a file with as much as a small partition.
func image(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 32<<20)); err != nil {
		t.Fatal(err)
	}
	return name
}

// opens says what cryptsetup says of a passphrase. It needs no device-mapper.
func opens(t *testing.T, node string, key []byte) error {
	t.Helper()
	return Opens(t.Context(), node, key)
}

// TestMake makes a volume that its passphrase opens, and no other one.
func TestMake(t *testing.T) {
	t.Parallel()
	node, ctx := image(t), t.Context()
	secret := []byte("correct horse \x00 ä")
	v := Volume{UUID: volume, Label: "home", Passphrase: secret, Cost: Cheap}
	if err := v.make(ctx, node, noTPM); err != nil {
		t.Fatal(err)
	}
	if err := opens(t, node, secret); err != nil {
		t.Errorf("the passphrase: %v", err)
	}
	for _, wrong := range []string{"correct horse \x00 ä\n", "correct horse "} {
		if err := opens(t, node, []byte(wrong)); !errors.Is(err, ErrKey) {
			t.Errorf("the passphrase %q: %v, want ErrKey", wrong, err)
		}
	}
	dump, err := output(ctx, "luksDump", node)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Version:       \t2", volume, "Label:         \thome", "aes-xts-plain64"} {
		if !strings.Contains(string(dump), want) {
			t.Errorf("%q is missing in:\n%s", want, dump)
		}
	}
	if _, err := unsealed(ctx, node, noTPM); !errors.Is(err, ErrKey) {
		t.Errorf("the key for a TPM: %v", err)
	}
	if b, err := os.ReadFile(node); err != nil || bytes.Contains(b, secret) {
		t.Errorf("the passphrase is in the volume (%v)", err)
	}
	for what, v := range map[string]Volume{"empty": {UUID: volume},
		"UUID":                {UUID: "x", Passphrase: secret, Cost: Cheap},
		"file does not exist": {UUID: volume, Passphrase: secret, TPM: true, Cost: Cheap}} {
		err := v.make(ctx, node, noTPM)
		if err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "horse") {
			t.Errorf("a volume that must be refused: %v, want %q", err, what)
		}
	}
}

// TestMemory: a try takes half of what is free, within bounds.
func TestMemory(t *testing.T) {
	for free, want := range map[uint64]uint64{0: 64 << 10, 100 << 20: 64 << 10, 1 << 30: 512 << 10, 64 << 30: 1 << 20} {
		if got := memoryCost(free); got != want {
			t.Errorf("memoryCost(%d) = %d, want %d", free, got, want)
		}
	}
}

// TestCost: the passphrase is slow to try, by the function that cryptsetup takes itself.
func TestCost(t *testing.T) {
	t.Parallel()
	node := image(t)
	if err := Make(t.Context(), node, Volume{UUID: volume, Passphrase: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if dump, err := output(t.Context(), "luksDump", node); err != nil || !strings.Contains(string(dump), "argon2id") {
		t.Errorf("%v:\n%s", err, dump)
	}
}

// TestTPM has a TPM open a volume until PCR 7 changes, and only that TPM.
func TestTPM(t *testing.T) {
	t.Parallel()
	node, ctx := image(t), t.Context()
	tpm := start(t).open
	v := Volume{UUID: volume, Passphrase: []byte("x"), TPM: true, Cost: Cheap}
	if err := v.make(ctx, node, tpm); !errors.Is(err, errEmpty) {
		t.Fatalf("with an empty PCR 7: %v", err)
	}
	if err := checkTPM(tpm); !errors.Is(err, errEmpty) {
		t.Errorf("checkTPM with an empty PCR 7: %v", err)
	}
	extend(t, tpm, 7)
	if err := errors.Join(checkTPM(tpm), v.make(ctx, node, tpm)); err != nil {
		t.Fatal(err)
	}
	for range 4 { // more often than a TPM has places
		key, err := unsealed(ctx, node, tpm)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(opens(t, node, key), opens(t, node, []byte("x"))); err != nil {
			t.Error(err)
		}
	}
	extend(t, tpm, 4) // what started, which the seal does not ask for
	if _, err := unsealed(ctx, node, tpm); err != nil {
		t.Errorf("after PCR 4 changed: %v", err)
	}
	other := start(t).open
	extend(t, other, 7)
	extend(t, tpm, 7)
	for name, tpm := range map[string]opener{"PCR 7 changed": tpm, "another TPM": other, "no TPM": noTPM} {
		if key, err := unsealed(ctx, node, tpm); !errors.Is(err, ErrKey) || key != nil {
			t.Errorf("%s: %q, %v, want ErrKey", name, key, err)
		}
	}
	if err := checkTPM(noTPM); err == nil || !strings.Contains(err.Error(), "leave out tpm2") {
		t.Errorf("checkTPM without a TPM: %v", err)
	}
}

// TestPeer compares with systemd-cryptenroll: the same policy and the same way to seal, so that systemd opens what Make
// made.
func TestPeer(t *testing.T) {
	t.Parallel()
	s := start(t)
	extend(t, s.open, pcr)
	v := Volume{UUID: volume, Passphrase: []byte("pw"), TPM: true, Cost: Cheap}
	ours, theirs := image(t), image(t)
	err := v.make(t.Context(), ours, s.open)
	v.TPM = false
	if err = errors.Join(err, v.make(t.Context(), theirs, s.open)); err != nil {
		t.Fatal(err)
	}
	s.conn.Close() // it serves one connection
	if said := enrolled(t, s.socket, ours); !strings.Contains(said, "already enrolled") {
		t.Errorf("it does not take what Make made for its own: %s", said)
	}
	enrolled(t, s.socket, theirs)
	s.connect(t)
	var said []string
	for _, node := range []string{ours, theirs} {
		b, err := output(t.Context(), "token", "export", "--token-id", "0", node)
		if err != nil {
			t.Fatal(err)
		}
		one, err := parseToken(b)
		if err != nil {
			t.Fatal(err)
		}
		key, err := unseal(s.open, one)
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if err := opens(t, node, key); err != nil {
			t.Error(err)
		}
		public := publicOf(t, one)
		one.Blob = nil
		said = append(said, fmt.Sprintf("%+v sealed as %x", one, public[:len(public)-32])) // the rest is random
	}
	if said[0] != said[1] {
		t.Errorf("the tokens differ:\n%s\nand of systemd-cryptenroll\n%s", said[0], said[1])
	}
}

// enrolled has systemd-cryptenroll add a key for the TPM.
func enrolled(t *testing.T, socket, node string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "systemd-cryptenroll", "--tpm2-device=swtpm:path="+socket, "--tpm2-pcrs=7",
		node)
	cmd.Env = append(os.Environ(), "PASSWORD=pw")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-cryptenroll (with libtss2-esys and libtss2-tcti-swtpm0; run `make deps`): %v: %s", err, out)
	}
	return string(out)
}

// publicOf is what a sealed key says of itself, without what is random.
func publicOf(t *testing.T, from token) []byte {
	t.Helper()
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](from.Blob)
	if err != nil {
		t.Fatal(err)
	}
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](bytes.TrimPrefix(from.Blob, tpm2.Marshal(private)))
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.Marshal(public)
}

// FuzzToken reads tokens of a hostile disk.
func FuzzToken(f *testing.F) {
	for _, s := range []string{`{"type":"systemd-tpm2","keyslots":["1"],"tpm2-blob":"AAAA","tpm2-pcrs":[7],` +
		`"tpm2-pcr-bank":"sha256","tpm2-primary-alg":"ecc"}`, `{"type":"clevis","keyslots":[1],"jwe":{}}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseToken(b)
		if err != nil || got.Type != tokenType {
			return
		}
		if key, err := unseal(noTPM, got); err == nil {
			t.Errorf("a TPM that is missing gave %q", key)
		}
	})
}

// software is swtpm, a TPM in software.
type software struct {
	socket string
	conn   net.Conn
}

func start(t *testing.T) *software {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &software{socket: filepath.Join(dir, "s")}
	cmd := exec.CommandContext(t.Context(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+s.socket, "--ctrl", "type=unixio,path="+s.socket+".ctrl",
		"--flags", "not-need-init,startup-clear")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("swtpm (run `make deps`): %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	s.connect(t)
	return s
}

func (s *software) connect(t *testing.T) {
	t.Helper()
	var err error
	for range 1000 {
		if s.conn, err = net.Dial("unix", s.socket); err == nil {
			t.Cleanup(func() { s.conn.Close() })
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
}

func (s *software) open() (transport.TPMCloser, error) {
	return transport.FromReadWriteCloser(held{s.conn}), nil
}

// held is a connection that stays open.
type held struct{ net.Conn }

func (held) Close() error { return nil }

func noTPM() (transport.TPMCloser, error) { return nil, os.ErrNotExist }

// extend changes a register, as firmware does when it measures something.
func extend(t *testing.T, open opener, register uint32) {
	t.Helper()
	c, err := open()
	if err == nil {
		_, err = tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(register),
			Auth: tpm2.PasswordAuth(nil)}, Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{
			{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}.Execute(c)
	}
	if err != nil {
		t.Fatal(err)
	}
}
