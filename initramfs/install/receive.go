package install

import (
	"context"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/progress"
)

// take receives an image, verifies it and returns its folder.
func (w *work) take(ctx context.Context, img Image, m *content.Manifest) (string, error) {
	w.phase = job.PhaseReceive
	in, err := intake.Open(w.parts.poolDir, img)
	if err != nil {
		return "", err
	}
	dir, err := w.receive(ctx, img, in)
	if err != nil {
		return "", err
	}
	return dir, w.verify(ctx, img, in, m)
}

// receive applies every stream and returns the folder of the image.
func (w *work) receive(ctx context.Context, img Image, in *intake.Intake) (string, error) {
	w.enter(job.PhaseReceive, "receiving %s: %d streams, %s", img.Ref(), len(in.Streams()), job.Bytes(in.Raw()))
	var done atomic.Int64
	stop := w.follow(in.Raw(), done.Load, w.o.Wire, w.o.Ways)
	defer stop()
	dir, err := in.Receive(ctx, intake.Options{Progress: done.Store, Spool: w.o.Spool,
		Warn: func(err error) { w.warn("%v", err) }})
	if err != nil {
		return "", err
	}
	if n := in.ReadBack(); n > 0 {
		w.say("%s were read back from the disk meanwhile", job.Bytes(n))
	}
	if ways := w.o.Ways(); ways != nil {
		ways.Now = ""
		w.say("%s received over the network: %s", job.Bytes(w.o.Wire()), ways)
	}
	return dir, nil
}

// verify compares the tree with its manifest as it is on the disk: mounted again, nothing of it is left in memory.
func (w *work) verify(ctx context.Context, img Image, in *intake.Intake, m *content.Manifest) error {
	w.enter(job.PhaseVerify, "comparing the written files with the content manifest of %s", img.Ref())
	if err := unmount(w.parts.poolDir); err != nil {
		return err
	}
	if err := w.mountPool(); err != nil {
		return err
	}
	var done atomic.Int64
	stop := w.follow(m.Size(), done.Load, func() int64 { return 0 }, nil)
	defer stop()
	return in.Verify(ctx, m, done.Store)
}

// follow reports progress of the phase.
func (w *work) follow(total int64, done, wire func() int64, ways func() *job.Ways) (stop func()) {
	return progress.Follow(progress.Phase{Job: w.spec.ID, Phase: w.phase, Total: total, Done: done, Wire: wire,
		Ways: ways, Event: w.report.Event})
}
