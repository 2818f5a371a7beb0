package ec2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"griddle/cloud/provider"
)

const (
	blockSize = 512 << 10 // the only one that EBS direct takes
	// blocks that are sent before the snapshot's tag says so: 128 MiB are sent twice after a kill at worst
	wave      = 256
	keepFor   = 24 * 60 // minutes without a block after which EBS drops a snapshot that was begun
	allBlocks = "all"   // value of tagBlocks when only CompleteSnapshot is missing
)

// token is a client token: the same for the same request, and another for each time that a
// resource made by it was lost.
func token(request any, lost int) string {
	b, err := json.Marshal(request)
	if err != nil {
		panic(err) // a programmer's: requests are plain values
	}
	sum := sha256.Sum256(fmt.Appendf(b, "/%d", lost))
	return hex.EncodeToString(sum[:]) // 64 characters, the most that EC2 takes
}

// generations bounds how many resources of one token were lost before.
const generations = 64

// ensureSnapshot gives the ID of a completed snapshot of w's bytes.
func (p *Provider) ensureSnapshot(ctx context.Context, w *provider.Image) (string, error) {
	s, err := p.findSnapshot(ctx, w.Digest)
	if err != nil {
		return "", err
	}
	if s == nil {
		if s, err = p.startSnapshot(ctx, w); err != nil {
			return "", err
		}
	}
	id := aws.ToString(s.SnapshotId)
	if s.State == types.SnapshotStatePending {
		if err := p.send(ctx, w, id, value(s.Tags, tagBlocks)); err != nil {
			return "", err
		}
	}
	return id, p.until(ctx, 0, func() (bool, error) {
		all, err := p.snapshots(ctx, filter("snapshot-id", id))
		switch {
		case err != nil:
			return false, err
		case len(all) == 0:
			return false, fmt.Errorf("snapshot %s is gone: %w", id, provider.ErrTemporary)
		case all[0].State == types.SnapshotStateError:
			return false, errors.Join(p.deleteSnapshot(ctx, id),
				fmt.Errorf("snapshot %s failed: %s: %w", id, clip(aws.ToString(all[0].StateMessage)),
					provider.ErrTemporary))
		}
		return all[0].State == types.SnapshotStateCompleted, nil
	})
}

// findSnapshot is the snapshot of a digest that is furthest, nil for none.
func (p *Provider) findSnapshot(ctx context.Context, digest string) (*types.Snapshot, error) {
	all, err := p.snapshots(ctx, ofDigest(digest)...)
	if err != nil {
		return nil, err
	}
	for _, state := range []types.SnapshotState{types.SnapshotStateCompleted, types.SnapshotStatePending} {
		var some []types.Snapshot
		for _, s := range all {
			if s.State == state && value(s.Tags, provider.LabelDigest) == digest {
				some = append(some, s)
			}
		}
		if s := first(some, func(s *types.Snapshot) *string { return s.SnapshotId }); s != nil {
			return s, nil
		}
	}
	return nil, nil
}

// startSnapshot begins a snapshot.
func (p *Provider) startSnapshot(ctx context.Context, w *provider.Image) (*types.Snapshot, error) {
	in := &ebs.StartSnapshotInput{
		VolumeSize: aws.Int64(max(1, (max(w.Size, w.Virtual)+1<<30-1)>>30)), Description: aws.String(w.Name),
		Timeout: aws.Int32(keepFor),
	}
	for _, t := range labels(w) {
		in.Tags = append(in.Tags, ebstypes.Tag{Key: t.Key, Value: t.Value})
	}
	for lost := range generations {
		in.ClientToken = nil
		in.ClientToken = aws.String(token(in, lost))
		o, err := p.ebs.StartSnapshot(ctx, in)
		if err != nil {
			return nil, err
		}
		if n := aws.ToInt32(o.BlockSize); n != blockSize {
			return nil, fmt.Errorf("EBS wants blocks of %d bytes, not %d", n, blockSize)
		}
		if s, err := p.appeared(ctx, aws.ToString(o.SnapshotId)); s != nil || err != nil {
			return s, err
		}
	}
	return nil, fmt.Errorf("each of %d snapshots was lost: %w", generations, provider.ErrTemporary)
}

// appeared is a snapshot that was begun; nil where the token is that of one that was deleted or failed since.
func (p *Provider) appeared(ctx context.Context, id string) (*types.Snapshot, error) {
	var s *types.Snapshot
	err := p.until(ctx, visible, func() (bool, error) {
		all, err := p.snapshots(ctx, filter("snapshot-id", id))
		if len(all) > 0 {
			s = &all[0]
		}
		return len(all) > 0, err
	})
	if errors.Is(err, errLate) || err == nil && s.State == types.SnapshotStateError {
		return nil, nil
	}
	return s, err
}

// send puts the blocks that are not there yet, and completes the snapshot. All bytes are read in any case: their digest
// must be right, and each block's goes into the snapshot's.
func (p *Provider) send(ctx context.Context, w *provider.Image, id, there string) error {
	from := 0
	if there == allBlocks {
		from = int(w.Size/blockSize) + 1
	} else if n, err := strconv.Atoi(there); err == nil && n > 0 {
		from = n
	}
	contents, err := w.Open()
	if err != nil {
		return fmt.Errorf("opening its bytes: %w", err)
	}
	defer contents.Close()
	p.o.Log.InfoContext(ctx, "sending", "image", w.Name, "snapshot", id, "bytes", w.Size, "from", int64(from)*blockSize)
	u := &upload{p: p, snapshot: id, from: from, whole: sha256.New(), linear: sha256.New()}
	if err := u.read(ctx, contents, w.Size); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(u.whole.Sum(nil)); got != w.Digest {
		return errors.Join(p.deleteSnapshot(ctx, id),
			fmt.Errorf("its bytes are %s and not %s: %w", got, w.Digest, provider.ErrInvalid))
	}
	if there != allBlocks {
		if err := u.mark(ctx, allBlocks); err != nil {
			return err
		}
	}
	_, err = p.ebs.CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{
		SnapshotId: aws.String(id), ChangedBlocksCount: aws.Int32(u.count),
		Checksum:                  aws.String(base64.StdEncoding.EncodeToString(u.linear.Sum(nil))),
		ChecksumAlgorithm:         ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256,
		ChecksumAggregationMethod: ebstypes.ChecksumAggregationMethodChecksumAggregationLinear,
	})
	var refused *ebstypes.ValidationException
	if !errors.As(err, &refused) {
		return err
	}
	// It is complete already, or it holds other blocks than these and never will be.
	err2 := p.until(ctx, visible, func() (bool, error) {
		all, err := p.snapshots(ctx, filter("snapshot-id", id))
		return len(all) > 0 && all[0].State == types.SnapshotStateCompleted, err
	})
	if !errors.Is(err2, errLate) {
		return err2
	}
	return errors.Join(p.deleteSnapshot(ctx, id),
		fmt.Errorf("completing snapshot %s: %s: %w", id, clip(refused.ErrorMessage()), provider.ErrTemporary))
}

// upload is one pass over an image's bytes.
type upload struct {
	p        *Provider
	snapshot string
	from     int // blocks before this one are there

	whole  hash.Hash // of the bytes
	linear hash.Hash // of the digests of the blocks that are not zeroes
	count  int32     // of those blocks
}

func (u *upload) read(ctx context.Context, contents io.ReaderAt, size int64) error {
	zeroes := make([]byte, blockSize)
	free := make(chan []byte, u.p.o.Parallel+1)
	for range cap(free) {
		free <- make([]byte, blockSize)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(u.p.o.Parallel)
	pending := 0
	in := io.NewSectionReader(contents, 0, size)
	for index := 0; int64(index)*blockSize < size; index++ {
		if err := gctx.Err(); err != nil {
			break
		}
		b := <-free
		n, err := io.ReadFull(in, b)
		if err == io.ErrUnexpectedEOF && int64(index)*blockSize+int64(n) == size {
			err = nil
		}
		if err != nil {
			return errors.Join(g.Wait(),
				fmt.Errorf("reading its bytes at %d: %w", int64(index)*blockSize+int64(n), err))
		}
		u.whole.Write(b[:n])
		clear(b[n:])
		if bytes.Equal(b, zeroes) {
			free <- b
			continue
		}
		sum := sha256.Sum256(b)
		u.linear.Write(sum[:])
		u.count++
		if index < u.from {
			free <- b
			continue
		}
		g.Go(func() error {
			defer func() { free <- b }()
			return u.put(gctx, index, b, sum)
		})
		if pending++; pending == u.p.wave {
			if err := g.Wait(); err != nil {
				return err
			}
			if err := u.mark(ctx, strconv.Itoa(index+1)); err != nil {
				return err
			}
			g, gctx = errgroup.WithContext(ctx)
			g.SetLimit(u.p.o.Parallel)
			pending = 0
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (u *upload) put(ctx context.Context, index int, b []byte, sum [32]byte) error {
	_, err := u.p.ebs.PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
		SnapshotId: aws.String(u.snapshot), BlockIndex: aws.Int32(int32(index)), BlockData: bytes.NewReader(b),
		DataLength: aws.Int32(blockSize), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
		ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256,
	})
	if isGone(err) {
		return fmt.Errorf("snapshot %s is gone: %w", u.snapshot, provider.ErrTemporary)
	}
	return err
}

// mark writes down at EC2 how far the upload is: another process, on another machine perhaps, takes it up from there.
// EBS direct lists the blocks of completed snapshots only.
func (u *upload) mark(ctx context.Context, blocks string) error {
	_, err := u.p.ec2.CreateTags(ctx,
		&api.CreateTagsInput{Resources: []string{u.snapshot}, Tags: []types.Tag{tag(tagBlocks, blocks)}})
	return err
}
