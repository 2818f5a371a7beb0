//go:build e2e

package full

import (
	"bytes"
	"crypto/aes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/initramfs/pool/pooltest"

	"golang.org/x/crypto/xts"
)

// looksSealed looks at the disks of a machine that is off, as someone does who took them out: the encrypted partitions
// are of LUKS2, with the keys that docs/LAYOUT.md says, and nothing of what people wrote can be read in them. With the
// passphrase it can.
func looksSealed(t *testing.T, m *e2e.Machine) {
	t.Helper()
	var found []string
	for _, d := range m.Disks[:2] {
		f, err := os.Open(d.File)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if holds(t, f, passphrase) {
			t.Errorf("the passphrase can be read on %s", d.Serial)
		}
		for _, p := range partitionsOf(t, d.File) {
			part := io.NewSectionReader(f, p[0], p[1])
			magic := make([]byte, 6) // LUKS2 1.1.1 section 2.1
			if _, err := part.ReadAt(magic, 0); err != nil {
				t.Fatal(err)
			}
			if string(magic) != "LUKS\xba\xbe" {
				continue
			}
			if holds(t, part, marker) {
				t.Errorf("what people wrote can be read in the encrypted partition at %d of %s", p[0], d.Serial)
			}
			found = append(found, header(t, m, d.File, p, part))
		}
	}
	slices.Sort(found)
	if got := strings.Join(found, ", "); got != "home with it, srv with it, swap" {
		t.Errorf("%s has the encrypted partitions %q", m.Name, got)
	}
}

// partitionsOf are the first byte and the size of each partition of a disk.
func partitionsOf(t *testing.T, file string) (out [][2]int64) {
	t.Helper()
	var is struct {
		Table struct {
			SectorSize int64
			Partitions []struct{ Start, Size int64 }
		} `json:"partitiontable"`
	}
	said := pooltest.Tool(t, "sfdisk", "--json", file)
	if err := json.Unmarshal([]byte(said), &is); err != nil || len(is.Table.Partitions) == 0 {
		t.Fatalf("reading the partitions of %s: %v: %s", file, err, said)
	}
	for _, p := range is.Table.Partitions {
		out = append(out, [2]int64{p.Start * is.Table.SectorSize, p.Size * is.Table.SectorSize})
	}
	return out
}

// luksHeader is what cryptsetup says of a header (LUKS2 1.1.1 section 3).
type luksHeader struct {
	Keyslots map[string]struct {
		KDF struct{ Type string }
	}
	Tokens map[string]struct {
		Type     string
		Keyslots []string
		PCRs     []int  `json:"tpm2-pcrs"`
		Bank     string `json:"tpm2-pcr-bank"`
	}
	Segments map[string]struct {
		Offset     string
		Encryption string
		SectorSize int `json:"sector_size"`
	}
}

// header checks the header of an encrypted partition, and returns its label, and whether the marker is in it.
func header(t *testing.T, m *e2e.Machine, file string, p [2]int64, part *io.SectionReader) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "partition") // cryptsetup wants a device or a file of its own
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, io.NewSectionReader(part, 0, 16<<20))
	if err := errors.Join(err, f.Truncate(p[1]), f.Close()); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(copied)
	dump := pooltest.Tool(t, "cryptsetup", "luksDump", copied)
	var h luksHeader
	if err := json.Unmarshal([]byte(pooltest.Tool(t, "cryptsetup", "luksDump", "--dump-json-metadata", copied)),
		&h); err != nil {
		t.Fatal(err)
	}
	is, s := h.Tokens["0"], h.Segments["0"]
	sealed := len(h.Keyslots) == 2 && h.Keyslots["1"].KDF.Type == "pbkdf2" && len(h.Tokens) == 1 &&
		is.Type == "systemd-tpm2" && slices.Equal(is.Keyslots, []string{"1"}) && slices.Equal(is.PCRs, []int{7}) &&
		is.Bank == "sha256"
	bare := len(h.Keyslots) == 1 && len(h.Tokens) == 0
	if !strings.Contains(dump, "Version:       \t2\n") || h.Keyslots["0"].KDF.Type != "argon2id" || m.TPM && !sealed ||
		!m.TPM && !bare || s.Encryption != "aes-xts-plain64" || s.Offset != "16777216" {
		t.Errorf("an encrypted partition of %s has the header\n%s", m.Name, dump)
	}
	key := filepath.Join(t.TempDir(), "key")
	cmd := exec.CommandContext(t.Context(), "cryptsetup", "luksDump", "--batch-mode", "--dump-volume-key",
		"--volume-key-file", key, "--key-file", "-", copied)
	cmd.Stdin = strings.NewReader(passphrase)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the passphrase does not open the header of %s: %v: %s", m.Name, err, out)
	}
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := decrypted(part, secret, s.SectorSize)
	if err != nil {
		t.Fatal(err)
	}
	_, label, _ := strings.Cut(dump, "Label:")
	label, _, _ = strings.Cut(label, "\n")
	label = strings.TrimSpace(label)
	if holds(t, inside, marker) {
		label += " with it"
	}
	return label
}

// opened reads what is in an encrypted partition, behind its header. Each sector has its own number, in units of 512
// bytes (dm-crypt's plain64).
type opened struct {
	part   *io.SectionReader
	cipher *xts.Cipher
	sector int
}

func decrypted(part *io.SectionReader, key []byte, sector int) (io.ReaderAt, error) {
	c, err := xts.NewCipher(aes.NewCipher, key)
	const header = 16 << 20
	return opened{io.NewSectionReader(part, header, part.Size()-header), c, sector}, err
}

func (o opened) ReadAt(b []byte, at int64) (int, error) {
	n, err := o.part.ReadAt(b, at)
	zero := make([]byte, o.sector)
	for i := 0; i+o.sector <= n; i += o.sector {
		if s := b[i : i+o.sector]; !bytes.Equal(s, zero) { // else it was never written
			o.cipher.Decrypt(s, s, uint64(at+int64(i))/512)
		}
	}
	return n, err
}

// holds says whether a text is somewhere in what r reads.
func holds(t *testing.T, r io.ReaderAt, text string) bool {
	t.Helper()
	const step = 1 << 20
	b := make([]byte, 2*step) // a text may cross the end of a step
	for at := int64(0); ; at += step {
		n, err := r.ReadAt(b, at)
		if bytes.Contains(b[:n], []byte(text)) {
			return true
		}
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
