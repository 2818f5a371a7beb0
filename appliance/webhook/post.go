package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// patience is how long one attempt may take.
const patience = 20 * time.Second

// errGone is an answer by which a hook refuses an event for good.
var errGone = errors.New("it answers 410 Gone")

// errPrivate is why a connection is not made.
var errPrivate = errors.New("the address is not a public one; `private: true` in the configuration allows it")

// special are networks that lead to this host, to its neighbours or nowhere, beside those that netip knows
// (IANA's special-purpose address registries).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::/96"),
}

// public says whether an address is one of the internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// poster sends to one hook.
type poster struct {
	hook   Hook
	client *http.Client
}

func newPoster(h Hook) *poster {
	d := &net.Dialer{Timeout: patience}
	if !h.Private {
		// Of each connection, after the name was resolved: what a name means can change in between.
		d.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err == nil && !public(at.Addr()) {
				err = errPrivate
			}
			return err
		}
	}
	return &poster{h, &http.Client{
		Timeout: patience,
		Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: patience,
			MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: h.Roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post sends a body once. Its error never has the path of the URL, which is often a secret.
func (p *poster) post(ctx context.Context, id string, now time.Time, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.hook.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL is not valid")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "griddle")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", sign(p.hook.Secret, id, now.Unix(), body))
	resp, err := p.client.Do(r)
	if err != nil {
		var full *url.Error
		if errors.As(err, &full) {
			err = full.Err
		}
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusGone:
		return errGone
	}
	return fmt.Errorf("it answers with status %d", resp.StatusCode)
}

// place is the part of a URL that may be shown.
func place(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a URL that is not valid"
	}
	return u.Scheme + "://" + u.Host
}
