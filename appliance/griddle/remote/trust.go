package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/authority"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// trust is how a user makes sure that a server is the right one, the first time.
type trust struct{ file, fingerprint string }

func (t *trust) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.file, "ca", "", "`FILE` with the server's CA, a copy of its ca.pem")
	c.Flags().StringVar(&t.fingerprint, "fingerprint", "", "`SHA256` of the server's CA, as `griddle key ca show` "+
		"prints it on the server; without it and --ca you are asked")
	c.MarkFlagsMutuallyExclusive("ca", "fingerprint")
	_ = c.MarkFlagFilename("ca", "pem")
}

// authority returns the CA of the server at base in PEM, of which the user or a flag says that it is the right one.
func (t *trust) authority(ctx context.Context, e *cli.Env, base string) ([]byte, error) {
	if t.file != "" {
		b, err := cli.ReadSmall(t.file)
		if err == nil {
			_, err = job.PinnedTLS(b)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the server's CA: %w", err)
		}
		return b, nil
	}
	ca, err := meet(ctx, base)
	if err != nil {
		return nil, err
	}
	has := authority.Fingerprint(ca)
	if t.fingerprint != "" {
		if plain(t.fingerprint) != plain(has) {
			return nil, cli.WithHint(fmt.Errorf("the CA of %s has the fingerprint %s, and not %s", base, has,
				job.Printable(t.fingerprint)), "This is another server, or someone is between you and the server. "+
				"Nothing was sent to it.")
		}
	} else {
		e.Say(fmt.Sprintf("the CA of %s has the SHA-256 fingerprint %s", base, has))
		err := cli.Confirm(e, false, "trusting "+base, "Does `griddle key ca show` print the same on the server?")
		if cli.HintOf(err) != "" {
			return nil, cli.WithHint(err, "Give --fingerprint, with what `griddle key ca show` prints on the server, "+
				"or --ca FILE.")
		}
		if err != nil {
			return nil, err
		}
	}
	// Only the one that was compared is believed. Over it comes the one that will follow it, if there is one.
	conf, err := job.PinnedTLS(authority.Encode(ca))
	if err != nil {
		return nil, err
	}
	b, _, err := bundle(ctx, base, conf)
	return b, err
}

// plain is a fingerprint without what is written differently.
func plain(fingerprint string) string {
	return strings.NewReplacer(":", "", " ", "", "SHA256", "", "FINGERPRINT=", "").Replace(
		strings.ToUpper(strings.TrimSpace(fingerprint)))
}

// meet returns the certificate that the server at base shows as its CA. That proves nothing.
func meet(ctx context.Context, base string) (*x509.Certificate, error) {
	b, leaf, err := bundle(ctx, base, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err != nil {
		return nil, err
	}
	all, err := authority.Certificates(b)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(c *x509.Certificate) bool { return leaf.CheckSignatureFrom(c) == nil })
	if i < 0 {
		return nil, fmt.Errorf("%s does not have a certificate of the CA that it shows", base)
	}
	return all[i], nil
}

// bundle gets the CA from the server, and the certificate that the server has.
func bundle(ctx context.Context, base string, conf *tls.Config) (b []byte, leaf *x509.Certificate, err error) {
	fail := func(err error) ([]byte, *x509.Certificate, error) {
		return nil, nil, cli.ExplainRemote(fmt.Errorf("asking %s for its CA: %w", base, err))
	}
	transport := &http.Transport{TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+appliance.CAPath, nil)
	if err != nil {
		return fail(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, cli.WithHint(fmt.Errorf("asking %s for its CA: status %d", base, res.StatusCode), "Is it a "+
			"Griddle server, and new enough? Else copy ca.pem from its state directory, and give it with --ca.")
	}
	const limit = 64 << 10
	if b, err = io.ReadAll(io.LimitReader(res.Body, limit)); err != nil {
		return fail(err)
	}
	if res.TLS == nil || len(res.TLS.PeerCertificates) == 0 {
		return fail(errors.New("it shows no certificate"))
	}
	return b, res.TLS.PeerCertificates[0], nil
}
