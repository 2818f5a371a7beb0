// Package authority is the site's own CA, and the certificate that it gives to the server.
//
// Call Open in the server, and serve with TLSConfig; Bundle is what boot images and notices tell machines to trust.
// MakeNext and Switch replace the CA while machines follow; a server that runs sees it at its next Reread.
//
// All files are in the state directory, PEM (RFC 7468): certificates, and keys in PKCS#8 with mode 0600. Each is
// durable when a call returns. After a power cut at any point, the next call completes what was begun. A CA whose key
// is lost is never replaced by itself, because machines pin it. An Authority may be used by several goroutines at once.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"griddle/imagestore/durable"
)

// Validity of what the authority signs. It begins long before any start, because the clock of a machine that boots
// may stand at the build date of its agent, and that must be good for TLS.
const (
	validFromYear  = 2020
	caYears        = 30
	serverYears    = 2
	renewBefore    = 365 * 24 * time.Hour
	checkedEvery   = time.Hour
	certificatePEM = "CERTIFICATE"
	keyPEM         = "PRIVATE KEY"
)

// The files in the state directory.
const (
	File     = "ca.pem"      // the certificate of the CA, which agents and operators pin
	NextFile = "ca.next.pem" // the certificate of the CA that will follow it

	keyFile       = "ca.key"
	nextKeyFile   = "ca.next.key"
	serverFile    = "server.pem"
	serverKeyFile = "server.key"
)

// SecretFiles are those of the files that no one else may read.
func SecretFiles() []string { return []string{keyFile, nextKeyFile, serverKeyFile} }

// Authority is the site's own CA with the certificate that it gave to this server. Agents pin the CA; there is no
// other use for it.
type Authority struct {
	dir   string
	now   func() time.Time
	hosts []string // names and addresses that the server goes by, the same order each time

	mu      sync.Mutex
	caPEM   []byte
	nextPEM []byte // of the CA that will follow; nil for none
	caCert  *x509.Certificate
	caKey   *ecdsa.PrivateKey
	leaf    *tls.Certificate
	checked time.Time
}

// Open reads the CA from the state directory or makes it, and sees to a certificate for addr and names, of which empty
// ones do not count. now is the clock.
func Open(dir string, addr netip.Addr, names []string, now func() time.Time) (*Authority, error) {
	a := &Authority{dir: dir, now: now, hosts: []string{addr.String(), "127.0.0.1", "::1", "localhost"}}
	for _, n := range names {
		if n != "" && !slices.Contains(a.hosts, n) {
			a.hosts = append(a.hosts, n)
		}
	}
	if err := finishSwitch(dir); err != nil {
		return nil, fmt.Errorf("opening the site's CA: %w", err)
	}
	if err := a.loadCA(); err != nil {
		return nil, fmt.Errorf("opening the site's CA: %w", err)
	}
	if _, err := a.certificate(); err != nil {
		return nil, fmt.Errorf("making the server's certificate: %w", err)
	}
	return a, nil
}

// TLSConfig serves the certificate, and makes a new one while the server runs when it grows old.
func (a *Authority) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.certificate() },
		NextProtos:     []string{"h2", "http/1.1"},
		// Of a client's certificate only its key counts (job.KeyOf): no one vouches for it.
		ClientAuth:            tls.RequestClientCert,
		VerifyPeerCertificate: smallCertificate,
	}
}

// maxCertificate bounds what a client's certificates hold of our memory while it is connected, in bytes.
const maxCertificate = 8 << 10

// smallCertificate refuses clients whose certificates are large.
func smallCertificate(raw [][]byte, _ [][]*x509.Certificate) error {
	size := 0
	for _, c := range raw {
		size += len(c)
	}
	if size > maxCertificate {
		return fmt.Errorf("the client's certificates have %d bytes, the limit is %d", size, maxCertificate)
	}
	return nil
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, name) }

// write replaces a file durably: after a power cut it is the old one or the new one, whole.
func (a *Authority) write(name string, b []byte, mode fs.FileMode) error {
	return durable.Disk{}.Replace(a.path(name), b, mode)
}

func (a *Authority) loadCA() error {
	cert, certErr := os.ReadFile(a.path(File))
	key, keyErr := os.ReadFile(a.path(keyFile))
	if errors.Is(keyErr, fs.ErrNotExist) && errors.Is(certErr, fs.ErrNotExist) {
		var err error
		if cert, key, err = makeCA(a.now()); err != nil {
			return err
		}
		// A CA without its certificate is made again; one without its key never, for agents pin the certificate.
		if err := a.write(keyFile, key, 0o600); err != nil {
			return err
		}
		if err := a.write(File, cert, 0o644); err != nil {
			return err
		}
	} else if errors.Is(certErr, fs.ErrNotExist) && keyErr == nil {
		// The power went between the two writes of the first start: nobody has seen that certificate.
		if err := os.Remove(a.path(keyFile)); err != nil {
			return err
		}
		return a.loadCA()
	} else if err := errors.Join(certErr, keyErr); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	ecKey, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("%s is not an ECDSA key", a.path(keyFile))
	}
	next, err := readNext(a.dir)
	if err != nil {
		return err
	}
	a.caPEM, a.nextPEM, a.caCert, a.caKey = cert, next, pair.Leaf, ecKey
	return nil
}

// Bundle is what machines should trust: the CA, and the one that will follow it.
func (a *Authority) Bundle() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Concat(a.caPEM, a.nextPEM)
}

// Fingerprint is the SHA-256 of a certificate, by which people compare it, as `openssl x509 -noout -fingerprint
// -sha256` prints it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum)), " ", ":")
}

// Certificates reads the certificates of a bundle in PEM.
func Certificates(bundle []byte) (out []*x509.Certificate, err error) {
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificatePEM {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a certificate: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// Encode writes a certificate in PEM.
func Encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificatePEM, Bytes: c.Raw})
}

func makeCA(now time.Time) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("Griddle site %x", serial.Bytes()[:4])},
		NotBefore: validFrom(), NotAfter: now.AddDate(caYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return sign(t, t, k, k)
}

// certificate returns the server's certificate, read from the state directory while it is good, and a new one when it
// is not.
func (a *Authority) certificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.leaf != nil && now.Sub(a.checked) < checkedEvery {
		return a.leaf, nil
	}
	a.checked = now
	if a.leaf == nil {
		if pair, err := tls.LoadX509KeyPair(a.path(serverFile), a.path(serverKeyFile)); err == nil {
			a.leaf = &pair
		}
	}
	if a.leaf != nil && a.good(a.leaf.Leaf, now) {
		return a.leaf, nil
	}
	pair, err := a.issue(now)
	if err != nil && a.leaf != nil && now.Before(a.leaf.Leaf.NotAfter) &&
		a.leaf.Leaf.VerifyHostname(a.hosts[0]) == nil {
		return a.leaf, nil // the disk is full, perhaps: the old one still has a year
	}
	if err != nil {
		return nil, err
	}
	a.leaf = pair
	return a.leaf, nil
}

// Reread reads the CA from the state directory again, and makes the next handshake read the server's certificate. After
// an error all stays as it was.
func (a *Authority) Reread() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := finishSwitch(a.dir); err != nil {
		return err
	}
	if err := a.loadCA(); err != nil {
		return fmt.Errorf("reading the site's CA again: %w", err)
	}
	a.checked = time.Time{}
	if pair, err := tls.LoadX509KeyPair(a.path(serverFile), a.path(serverKeyFile)); err == nil {
		a.leaf = &pair
	}
	return nil
}

func (a *Authority) good(c *x509.Certificate, now time.Time) bool {
	if c.CheckSignatureFrom(a.caCert) != nil || now.Add(renewBefore).After(c.NotAfter) {
		return false
	}
	for _, h := range a.hosts {
		if c.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

func (a *Authority) issue(now time.Time) (*tls.Certificate, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Griddle"},
		NotBefore: validFrom(), NotAfter: now.AddDate(serverYears, 0, 1),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range a.hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	cert, key, err := sign(t, a.caCert, k, a.caKey)
	if err != nil {
		return nil, err
	}
	// A key beside the certificate of another one does not load, and then both are made again.
	if err := a.write(serverKeyFile, key, 0o600); err != nil {
		return nil, err
	}
	if err := a.write(serverFile, cert, 0o644); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	return &pair, err
}

func sign(t, parent *x509.Certificate, k, parentKey *ecdsa.PrivateKey) (cert, key []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &k.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: certificatePEM, Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: keyPEM, Bytes: keyDER}), nil
}

func validFrom() time.Time { return time.Date(validFromYear, 1, 1, 0, 0, 0, 0, time.UTC) }

// newSerial is positive and has 16 bytes (RFC 5280 section 4.1.2.2 allows 20).
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), nil
}
