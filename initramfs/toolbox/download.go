package toolbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// silence is how long a server may send nothing before it counts as gone.
const silence = 30 * time.Second

var errSilent = fmt.Errorf("the server sent nothing for %s", silence)

// client gives up on a server that cannot be reached or does not answer. How long the whole takes has no limit: the
// archive has one, and silence ends it.
func client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: silence}).DialContext,
			ResponseHeaderTimeout: silence, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// download returns the archive as a file without a name in State, which has the SHA-256 of Archive.
func (b *Box) download(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	file, err := os.CreateTemp(b.State, "archive-*")
	if err != nil {
		return nil, fmt.Errorf("fetching the tools archive: %w", err)
	}
	_ = os.Remove(file.Name())
	if err = b.copyTo(ctx, file, watch); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (b *Box) copyTo(ctx context.Context, file *os.File, watch *time.Timer) error {
	url := b.URL()
	unreachable := func(err error) error {
		if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
			err = cause
		}
		return fmt.Errorf("%w from %s: %w", ErrUnreachable, url, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("fetching the tools archive: %w", err)
	}
	c := b.Client
	if c == nil {
		c = client()
	}
	res, err := c.Do(req)
	if err != nil {
		return unreachable(err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return fmt.Errorf("the server does not have %s: its boot files are of another build than this boot image; "+
			"boot this machine again from the network, and if that does not help, run `make boot` on the server", url)
	case res.StatusCode >= 500:
		return unreachable(fmt.Errorf("the server answered %s", res.Status))
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("fetching the tools archive from %s: the server answered %s", url, res.Status)
	}
	sum := sha256.New()
	to := &counter{w: io.MultiWriter(file, sum), each: func(n int64) {
		watch.Reset(silence)
		if b.Progress != nil {
			b.Progress(n, b.Archive.Size)
		}
	}}
	if _, err := io.Copy(to, io.LimitReader(res.Body, b.Archive.Size+1)); err != nil {
		if to.failed {
			return fmt.Errorf("keeping the tools archive in memory: %w", err)
		}
		return unreachable(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); to.n != b.Archive.Size || got != b.Archive.SHA256 {
		return fmt.Errorf("%s is not what this boot image names: it has %d bytes or more with the SHA-256 %.16s…, and "+
			"not %d bytes with %.16s…; nothing of it was used; run `make boot` on the server", url, to.n, got,
			b.Archive.Size, b.Archive.SHA256)
	}
	return nil
}

// counter counts what is written.
type counter struct {
	w      io.Writer
	n      int64
	each   func(n int64)
	failed bool
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.failed = err != nil
	c.each(c.n)
	return n, err
}
