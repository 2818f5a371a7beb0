package machinekey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"griddle/appliance/job"
)

func openDir(t testing.TB) *os.Root {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func newKey(t testing.TB) tls.Certificate {
	t.Helper()
	c, err := job.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noTPM() (transport.TPMCloser, error) { return nil, fs.ErrNotExist }

func keepPlain(dir *os.Root, c tls.Certificate) error { return keep(dir, c, noTPM) }

func loadPlain(dir *os.Root) (tls.Certificate, error) { return load(dir, noTPM) }

// proves is the key that a server sees of c.
func proves(t testing.TB, c tls.Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return job.KeyOf(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
}

func TestKeep(t *testing.T) {
	dir := openDir(t)
	if _, err := loadPlain(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of an empty folder: %v, want fs.ErrNotExist", err)
	}
	// What an interrupted Keep left is in the way of none.
	if err := dir.WriteFile(temporary, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		want := newKey(t)
		if err := keepPlain(dir, want); err != nil {
			t.Fatal(err)
		}
		got, err := loadPlain(dir)
		if err != nil {
			t.Fatal(err)
		}
		if proves(t, got) != proves(t, want) {
			t.Error("Load returned another key than Keep got")
		}
		st, err := dir.Lstat(File)
		if err != nil || st.Mode() != 0o600 {
			t.Errorf("the key's file has mode %v (%v), want 0600", st.Mode(), err)
		}
	}
	if _, err := dir.Lstat(temporary); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file is left: %v", err)
	}
}

func TestKeepOnlyEd25519(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := keepPlain(openDir(t), tls.Certificate{PrivateKey: key}); err == nil {
		t.Error("Keep took an ECDSA key")
	}
}

// TestLoadHostile gives Load what a stranger's disk may have in place of a key.
func TestLoadHostile(t *testing.T) {
	good := openDir(t)
	if err := keepPlain(good, newKey(t)); err != nil {
		t.Fatal(err)
	}
	file, err := good.ReadFile(File)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte, mode fs.FileMode) func(*os.Root) error {
		return func(dir *os.Root) error {
			return errors.Join(dir.WriteFile(File, b, mode), dir.Chmod(File, mode))
		}
	}
	for _, tt := range []struct {
		name string
		make func(*os.Root) error
		want error
	}{
		{"readable by its group", write(file, 0o640), ErrExposed},
		{"writable by others", write(file, 0o602), ErrExposed},
		{"another user's", func(dir *os.Root) error {
			if os.Geteuid() != 0 {
				t.Fatal("only root can give a file away; run make as root")
			}
			return errors.Join(write(file, 0o600)(dir), dir.Chown(File, 1, 1))
		}, ErrExposed},
		{"too large", write(append(bytes.Repeat([]byte("#\n"), maxFile), file...), 0o600), ErrDamaged},
		{"empty", write(nil, 0o600), ErrDamaged},
		{"cut", write(file[:len(file)/2], 0o600), ErrDamaged},
		{"a key of another kind",
			write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600), ErrDamaged},
		{"a pipe", func(dir *os.Root) error { return syscall.Mkfifo(dir.Name()+"/"+File, 0o600) }, ErrDamaged},
		{"a folder", func(dir *os.Root) error { return dir.Mkdir(File, 0o700) }, ErrDamaged},
		{"a link", func(dir *os.Root) error {
			return errors.Join(dir.WriteFile("k", file, 0o600), dir.Symlink("k", File))
		}, ErrDamaged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := openDir(t)
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := loadPlain(dir); !errors.Is(err, tt.want) {
				t.Errorf("Load = %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	dir := openDir(f)
	if err := keepPlain(dir, newKey(f)); err != nil {
		f.Fatal(err)
	}
	b, err := dir.ReadFile(File)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if key, err := parse(b); err == nil && len(key) != ed25519.PrivateKeySize {
			t.Errorf("parse() = a key of %d bytes", len(key))
		}
		if _, err := unseal(noTPM, b); err == nil {
			t.Error("unseal() without a TPM worked")
		}
	})
}
