// Package imagestore keeps published images: it publishes, finds, derives, verifies, receives and collects them.
//
// Call Open for a store in a local directory, or remote.Open for one behind a server; both give the same
// Store. A program that only fetches an image (the agent) calls fetch.Open with a Plan and the keys that it
// trusts.
//
// The packages below it: minisign has keys and signatures, ref names and versions, document the signed documents,
// head the signed head of a catalog, encoding the compressed streams, fetch verified bytes from any source,
// catalog the log of images and the way to each, remote the store over HTTP, mirror copies from store to store,
// copies the kept copies next to sources, and tarball archives. The folder has more than twenty files because its
// tests, which are outside of the package, share one fixture: a store, and a server of it.
//
// A Store is blobs and a catalog:
//
//	DIR/blobs/sha256/01/0123…   every document, index, encoding and content manifest (package blob)
//	DIR/catalog                 the append-only log of what was published, deleted and trusted
//	DIR/catalog.lock            flock(2)ed by a process that changes the catalog
//	DIR/catalog.head            how many entries the log has, signed by the site's key (KeepHead)
//	DIR/leases/ID.json          what is being read, and must not be collected
//	DIR/copies                  which copies of its images are next to their sources
//	DIR/blobs/writers/NAME      what a running process has put
//
// An image is made of these blobs:
//
//	image document   signed: name, version, sizes, digest of the content manifest, UUID and ctransid
//	content manifest zstd; named by the image document
//	stream document  signed: which image it makes, from which parent or none, SHA-256 of each 8 MiB piece
//	index            unsigned: offset of each frame of the encoding, and the pieces in it
//	encoding         independent zstd frames, one after another: a valid .zst file
//
// Guarantees. One durable line in the catalog publishes an image, and only after all its blobs are complete and
// durable and its documents have trusted signatures. After a crash at any time the image is published or not, and
// blobs without an image are collected later. A signature counts for what the key's Grant says, until the key is
// revoked. A reader of a signed catalog on a server refuses one that is older than what its head.SeenDir
// remembers. Every byte from a reader of fetch.Opened.OpenStream is verified against a signed document first.
// Everything read from outside is bounded: documents, frames, windows and counts.
package imagestore
