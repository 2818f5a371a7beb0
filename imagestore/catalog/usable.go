package catalog

import (
	"fmt"

	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// judge says of signers, known by their IDs as the log has them, whether what they signed counts. It asks each
// question once: there may be ten thousand images, and a handful of keys and templates.
type judge struct {
	trust *document.Trust
	known map[judgement]error
}

type judgement struct {
	signer, template string
	stream           bool
}

func (j *judge) check(l *Listed, signer string, stream bool) error {
	q := judgement{signer, l.Template, stream}
	err, ok := j.known[q]
	if ok {
		return err
	}
	if err = minisign.CheckID(signer); err == nil {
		var g document.Grant
		if g, err = j.trust.Find(signer); err == nil && stream {
			err = g.Stream(l.Parsed())
		} else if err == nil {
			err = g.Image(l.Parsed())
		}
	}
	j.known[q] = err
	return err
}

func (v *View) judge() *judge {
	return &judge{trust: v.Trust(v.others), known: map[judgement]error{}}
}

// Usable is the view without the images and streams whose signatures do not count: what a plan may use. It is v
// itself if all signatures count.
func (v *View) Usable() *View {
	j := v.judge()
	only := *v
	only.images = make(map[string]*Listed, len(v.images))
	all := true
	for ref, l := range v.images {
		if j.check(l, l.Signer, false) != nil {
			all = false
			continue
		}
		c := l
		for i, s := range l.Streams {
			bad := j.check(l, s.Signer, true) != nil
			if bad && c == l {
				c, all = new(Listed), false
				*c = *l
				c.Streams = append([]ListedStream(nil), l.Streams[:i]...)
			}
			if !bad && c != l {
				c.Streams = append(c.Streams, s)
			}
		}
		only.images[ref] = c
	}
	if all {
		return v
	}
	return &only
}

// mark fills in which images' signatures do not count.
func (v *View) mark() {
	j := v.judge()
	for _, l := range v.images {
		l.Untrusted = ""
		if err := j.check(l, l.Signer, false); err != nil {
			l.Untrusted = err.Error()
		}
	}
}

// Trusted returns nil if the signature of an image counts, and otherwise the reason why it does not.
func (l *Listed) Trusted() error {
	if l.Untrusted == "" {
		return nil
	}
	return &untrustedError{l.Untrusted}
}

// Installable returns nil if a machine that has no image yet can get this one, which comes from List or Show.
// Otherwise the error is minisign.ErrSignature or ErrNoWay.
func (l Listed) Installable() error {
	if err := l.Trusted(); err != nil {
		return err
	}
	if l.Wire == 0 {
		return fmt.Errorf("%w: each one is signed by a key, or starts from an image, that is not trusted", ErrNoWay)
	}
	return nil
}

// untrustedError is an minisign.ErrSignature whose words begin with it already.
type untrustedError struct{ why string }

func (e *untrustedError) Error() string { return e.why }
func (e *untrustedError) Unwrap() error { return minisign.ErrSignature }
