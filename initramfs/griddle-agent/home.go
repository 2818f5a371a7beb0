package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/install"
)

// homeFiles says where an installed system keeps things; tests have others.
type homeFiles struct {
	config string // install.HomeFile
	etc    string
}

// phoneHome reports once to the server that this system is up, and then removes the token. It tries until the report
// succeeds. A refusal ends it too, because the token is then invalid.
func phoneHome(ctx context.Context, files homeFiles) error {
	var conf install.PhoneHome
	if err := readJSON(files.config, &conf); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // said already
		}
		return err
	}
	info, err := os.Stat(files.config)
	if err != nil {
		return fmt.Errorf("reading %s: %w", files.config, err)
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
		report := homeReport(ctx, files.etc, conf)
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
func forget(files homeFiles) error {
	var errs []error
	for _, path := range []string{
		filepath.Join(files.etc, "systemd/system/multi-user.target.wants/griddle-phone-home.service"), files.config,
	} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing the token: %w", err))
		}
	}
	return errors.Join(errs...)
}
