package openstack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2"
)

// classify has errors.Is find what a caller can do about an error of gophercloud's. What was classified stays.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), plain(err))
	}
	for _, known := range []error{
		provider.ErrCredentials, provider.ErrQuota, provider.ErrTaken, provider.ErrNotFound,
		provider.ErrUnsupported, provider.ErrInvalid, provider.ErrTemporary,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	if answer, ok := answerOf(err); ok {
		return answer.classify(time.Now())
	}
	if isMissingEndpoint(err) {
		return fmt.Errorf("%w: %w", provider.ErrUnsupported, err)
	}
	if provider.Unreachable(err) {
		return fmt.Errorf("%w: %w: %w", provider.ErrTemporary, provider.ErrUnreachable, plain(err))
	}
	if isNetwork(err) {
		return fmt.Errorf("%w: %w", provider.ErrTemporary, plain(err))
	}
	return err
}

// plain is an error without the request that net/http puts before it, whose URL can be long.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("asking %s: %w", hostOf(u.URL), u.Err)
	}
	return err
}

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "the cloud"
	}
	return u.Host
}

// answer is one of HTTP that is no success.
type answer struct {
	method, url string
	status      int
	text        string
	header      http.Header
}

// answerOf finds the answer in an error. The errors about expired tokens do not unwrap.
func answerOf(err error) (answer, bool) {
	var code gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &code) {
		return answer{code.Method, code.URL, code.Actual, message(code.Body), code.ResponseHeader}, true
	}
	var reauth *gophercloud.ErrUnableToReauthenticate
	if errors.As(err, &reauth) {
		return answerOf(reauth.ErrReauth)
	}
	var after *gophercloud.ErrErrorAfterReauthentication
	if errors.As(err, &after) {
		return answerOf(after.ErrOriginal)
	}
	return answer{}, false
}

// classify says what an answer means. Services say that a quota is used up by 403 (nova), 409 (neutron) and 413
// (cinder, glance), and by words alone.
func (a answer) classify(now time.Time) error {
	path := a.url
	if u, err := url.Parse(a.url); err == nil {
		path = u.Path
	}
	err := fmt.Errorf("%s %s was answered %d: %s", a.method, path, a.status, cmp.Or(a.text, http.StatusText(a.status)))
	lower := strings.ToLower(a.text)
	wait, retry := retryAfter(a.header, now)
	class := error(nil)
	switch {
	case (a.status == 403 || a.status == 409 || a.status == 413) && isQuota(lower):
		class = provider.ErrQuota
	case a.status == 401, a.status == 403:
		class = provider.ErrCredentials
	case a.status == 404:
		class = provider.ErrNotFound
	case a.status == 429, a.status == 413 && retry, a.status == 503 && retry:
		return &provider.Retry{After: wait, Err: err}
	case a.status == 409, a.status == 408, a.status == 498, a.status >= 500 && a.status != 501:
		class = provider.ErrTemporary
	case a.status == 400 && isTransition(lower):
		class = provider.ErrTemporary
	case a.status == 400, a.status == 413, a.status == 422:
		class = provider.ErrInvalid
	case a.status == 405, a.status == 501:
		class = provider.ErrUnsupported
	default:
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}

// isQuota knows the texts of nova ("Quota exceeded for cores", "Maximum number of key pairs exceeded"), neutron ("Quota
// exceeded for resources", "No more IP addresses available") and cinder ("… exceeded for quota 'volumes'").
func isQuota(text string) bool {
	for _, s := range []string{"quota", "maximum number of", "no more ip addresses", "limit exceeded"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// isTransition knows cinder's 400 for a volume that is being attached, detached or extended.
func isTransition(text string) bool {
	return strings.Contains(text, "status must be") || strings.Contains(text, "is in an invalid state")
}

// maxWait is the longest that a Retry-After is believed.
const maxWait = 5 * time.Minute

// retryAfter reads Retry-After: seconds, or a date (RFC 9110 section 10.2.3). Without one it is a second.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if v == "" {
		return time.Second, false
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxWait), true
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), maxWait), true
	}
	return time.Second, false
}

// message finds the words for people in the body of an answer, at most 300 characters in one line. Each
// service wraps them in another name: {"badRequest": {"message": …}}, {"NeutronError": {"message": …}},
// {"error": {…}}; glance sends HTML.
func message(body []byte) string {
	var wrapped map[string]json.RawMessage
	text := string(body)
	if json.Unmarshal(body, &wrapped) == nil {
		for name, raw := range wrapped {
			var inner struct {
				Message string `json:"message"`
			}
			if json.Unmarshal(raw, &inner) == nil && inner.Message != "" {
				text = inner.Message
				break
			}
			var s string
			if (name == "message" || name == "faultstring") && json.Unmarshal(raw, &s) == nil && s != "" {
				text = s
				break
			}
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + "…"
	}
	return text
}

// isNotFound says whether what was asked for is gone.
func isNotFound(err error) bool {
	a, ok := answerOf(err)
	return ok && a.status == http.StatusNotFound || errors.Is(err, provider.ErrNotFound)
}

// isConflict says whether something else holds what was asked for.
func isConflict(err error) bool {
	a, ok := answerOf(err)
	return ok && a.status == http.StatusConflict && !isQuota(strings.ToLower(a.text))
}

// isThere says whether neutron refused to make what it has already.
func isThere(err error) bool {
	a, _ := answerOf(err)
	return isConflict(err) && strings.Contains(strings.ToLower(a.text), "already exists")
}
