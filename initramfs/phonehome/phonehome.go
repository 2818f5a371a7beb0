// Package phonehome reports once, from an installed system, that it is up.
//
// Call Run. It gives the server the one-time token that the installer left and a report of the system (job.HomeReport),
// and removes the token. Other packages keep in touch with the server after that, see package resident.
//
// It returns only after an answer that counts, or when its context ends. The token is removed after each such answer,
// also a refusal; the next Run then does nothing.
package phonehome

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/newroot"
)

// Files says where an installed system keeps things.
type Files struct {
	Config string // the token and the server, newroot.PhoneHome in JSON
	Etc    string // the folder /etc
}

// Run reports once to the server that this system is up, and then removes the token. It tries until the report
// succeeds. A refusal ends it too, because the token is then invalid.
func Run(ctx context.Context, files Files) error {
	var conf newroot.PhoneHome
	b, err := os.ReadFile(files.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // said already
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", files.Config, err)
	}
	if err := json.Unmarshal(b, &conf); err != nil {
		return fmt.Errorf("reading %s: %w", files.Config, err)
	}
	info, err := os.Stat(files.Config)
	if err != nil {
		return fmt.Errorf("reading %s: %w", files.Config, err)
	}
	tls, err := job.PinnedTLS([]byte(conf.CA))
	if err != nil {
		return err
	}
	// A machine without a working clock knows at least when it was installed.
	tls.Time = func() time.Time {
		if now := time.Now(); now.After(info.ModTime()) {
			return now
		}
		return info.ModTime()
	}
	client := job.NewClient(conf.URL, tls)
	for pause := 2 * time.Second; ; pause = min(2*pause, 2*time.Minute) {
		report := reportOf(ctx, files.Etc, conf)
		err := client.Home(ctx, conf.Home, report)
		if err == nil || !job.Retryable(err) {
			return errors.Join(err, forget(files))
		}
		fmt.Fprintf(os.Stderr, "%v; trying again in %s\n", err, pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// forget removes the token and the link that starts the unit. The unit itself stays: without them it does nothing.
func forget(files Files) error {
	var errs []error
	for _, path := range []string{
		filepath.Join(files.Etc, "systemd/system/multi-user.target.wants/griddle-phone-home.service"), files.Config,
	} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing the token: %w", err))
		}
	}
	return errors.Join(errs...)
}
