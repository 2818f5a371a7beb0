//go:build cloud

package simplestreams

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/lxd/lxdtest"
)

// certificate is one of a CA of its own for 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "images"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign |
			x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestStockClient has Debian's lxc list the images over HTTPS, and launch from them: a tar and a squashfs.
func TestStockClient(t *testing.T) {
	cert, ca := certificate(t)
	d := lxdtest.Start(t, ca)
	root := lxdtest.Root(t, 1)
	dir := t.TempDir()
	squashfs := filepath.Join(t.TempDir(), "root.squashfs")
	squash(t, root, squashfs)
	contents := func() (io.ReadCloser, error) {
		c, err := root.Open()
		if err != nil {
			return nil, err
		}
		return c.(*os.File), nil
	}
	flat := Source{Image: Image{Name: "plain", Version: "20261121.1", Arch: "amd64", Title: "bookworm"},
		Digest: root.Digest, Open: contents}
	packed := flat
	packed.Name, packed.Format, packed.Digest = "packed", Squashfs, ""
	packed.Open = func() (io.ReadCloser, error) { return os.Open(squashfs) }
	if err := Publish(t.Context(), dir, []Source{flat, packed}); err != nil {
		t.Fatal(err)
	}
	h, err := Handler(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lxdtest.Listen(d.Namespace(), "127.0.0.1:18443")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}))
	t.Cleanup(func() { s.Close() })

	d.Lxc("remote", "add", "griddle", "https://127.0.0.1:18443", "--protocol", "simplestreams")
	list := d.Lxc("image", "list", "griddle:", "-f", "csv")
	t.Logf("lxc image list griddle:\n%s", list)
	for _, want := range []string{"plain", "packed", "griddle bookworm amd64 (20261121.1)", "x86_64,CONTAINER"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list is without %q", want)
		}
	}
	for _, name := range []string{"plain", "packed"} {
		d.Lxc("launch", "griddle:"+name, "from-"+name, "--storage", "test",
			"-c", "user.user-data=#cloud-config\npackages: []")
		if got := d.Lxc("exec", "from-"+name, "--", "cat", "/etc/griddle-image",
			"/etc/hostname"); got != "1\nfrom-"+name+"\n" {
			t.Errorf("in the container of %s there is %q", name, got)
		}
		if got := d.Lxc("exec", "from-"+name, "--", "cat",
			"/var/lib/cloud/seed/nocloud-net/user-data"); got != "#cloud-config\npackages: []\n" {
			t.Errorf("its user-data is %q", got)
		}
	}
}

func squash(t *testing.T, root *provider.Image, to string) {
	t.Helper()
	if _, err := exec.LookPath("sqfstar"); err != nil {
		t.Fatal("sqfstar is missing: run make deps")
	}
	c, err := root.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := exec.CommandContext(t.Context(), "sqfstar", "-noD", "-noF", to)
	cmd.Stdin = io.NewSectionReader(c, 0, root.Size)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sqfstar: %v: %s", err, out)
	}
}
