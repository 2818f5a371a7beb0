package minisign

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func need(t testing.TB, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: run make deps", program)
	}
	return p
}

func newKey(t testing.TB) *SecretKey {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestEncryptedKey has minisign decrypt what we encrypted, at costs below the gibibyte and the seconds of its own
// keys, and reads it back.
func TestEncryptedKey(t *testing.T) {
	minisign := need(t, "minisign")
	k := newKey(t)
	for name, cost := range map[string]struct{ ops, mem uint64 }{"much memory": {32768, 4 << 20},
		"many operations": {1 << 20, 2 << 20}} {
		text, err := k.formatEncrypted("secret", cost.ops, cost.mem)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(minisign, "-S", "-s", path, "-m", path)
		cmd.Stdin = strings.NewReader("secret\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: minisign does not read the key: %v\n%s", name, err, out)
		}
		for password, ok := range map[string]bool{"secret": true, "guess": false} {
			got, err := ReadKey(path, func() (string, error) { return password, nil })
			if (err == nil) != ok || ok && got.Public() != k.Public() {
				t.Errorf("%s: ReadKey with %q = %v", name, password, err)
			}
		}
		if _, err := ReadKey(path, nil); err == nil || !strings.Contains(err.Error(), "encrypted") {
			t.Errorf("%s: ReadKey without a password = %v", name, err)
		}
	}
}

func TestLoadOrMakeKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "publisher.key")
	first, made, err := LoadOrMakeKey(path)
	if err != nil || !made {
		t.Fatalf("LoadOrMakeKey = %v, %v", made, err)
	}
	again, made, err := LoadOrMakeKey(path)
	if err != nil || made || again.Public() != first.Public() {
		t.Errorf("LoadOrMakeKey again = %v, %v", made, err)
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key is %v, %v, want 0600", i.Mode(), err)
	}
	for name, text := range map[string]string{"empty": "", "garbage": "untrusted comment: x\nAAAA\n",
		"cut": string(first.File()[:100])} {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadOrMakeKey(p); err == nil {
			t.Errorf("LoadOrMakeKey of a key file that is %s gave no error", name)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	key, err := GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.File())
	f.Add([]byte(key.Public().String()))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseKey(b, nil)
		ParsePublicKey(string(b))
	})
}
