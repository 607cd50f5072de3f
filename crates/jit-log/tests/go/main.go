// Verifies a published log with golang.org/x/mod/sumdb alone, as anybody could who has never heard of the program that
// wrote it.
//
//	go run . DIR VKEY_FILE [WITNESS_VKEY_FILE]
//
// DIR holds the files of a log (checkpoint, tile/…), VKEY_FILE the public key of the log, WITNESS_VKEY_FILE that of a witness
// that must have cosigned. Checked are the signature on the checkpoint, and the cosignature; every hash of every tile of every level; every entry, its leaf hash and its inclusion proof; and the
// consistency of the checkpoint with every smaller size. Prints "ok size=N"; exits with 1 if anything is wrong.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tiles are 2^height hashes wide.
const height = 8

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: DIR VKEY_FILE [WITNESS_VKEY_FILE]")
		os.Exit(2)
	}
	size, err := verify(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("ok size=%d\n", size)
}

func verify(dir, vkeyFile string, witnessFiles []string) (int64, error) {
	tree, err := openCheckpoint(dir, vkeyFile, witnessFiles)
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	files := directory(dir)
	hashes := tlog.TileHashReader(tree, files)
	leaves, err := readLeaves(files, tree.N)
	if err != nil {
		return 0, err
	}
	for _, tile := range publishedTiles(tree.N) {
		if err := checkTile(files, tile, hashes); err != nil {
			return 0, fmt.Errorf("%s: %w", path(tile), err)
		}
	}
	for n, leaf := range leaves {
		proof, err := tlog.ProveRecord(tree.N, int64(n), hashes)
		if err != nil {
			return 0, fmt.Errorf("entry %d: %w", n, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(n), leaf); err != nil {
			return 0, fmt.Errorf("entry %d: %w", n, err)
		}
		if err := checkPrefix(tree, int64(n)+1, hashes); err != nil {
			return 0, fmt.Errorf("size %d: %w", n+1, err)
		}
	}
	return tree.N, nil
}

// openCheckpoint verifies the signature of the log, whose name must be that of its key, and parses the text.
func openCheckpoint(dir, vkeyFile string, witnessFiles []string) (tree tlog.Tree, err error) {
	vkey, err := os.ReadFile(vkeyFile)
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		return tree, err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return tree, err
	}
	verifiers := []note.Verifier{verifier}
	for _, file := range witnessFiles {
		witness, err := readWitness(file)
		if err != nil {
			return tree, err
		}
		verifiers = append(verifiers, witness)
	}
	opened, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return tree, err
	}
	for _, verifier := range verifiers {
		signed := false
		for _, sig := range opened.Sigs {
			signed = signed || sig.Name == verifier.Name() && sig.Hash == verifier.KeyHash()
		}
		if !signed {
			return tree, fmt.Errorf("%s has not signed", verifier.Name())
		}
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tree, errors.New("not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	if tree.N < 1 {
		return tree, errors.New("log is empty, so nothing is verified")
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// A witness's key, of type 0x04 (c2sp.org/tlog-cosignature), which the note package does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }

func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(c.key, []byte(signed), sig[8:])
}

func readWitness(file string) (c cosigner, err error) {
	vkey, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	name, rest, _ := strings.Cut(strings.TrimSpace(string(vkey)), "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return c, err
	}
	if len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		return c, errors.New("not a key of type 0x04")
	}
	sum := sha256.Sum256([]byte(name + "\n" + string(key)))
	c = cosigner{name, binary.BigEndian.Uint32(sum[:4]), key[1:]}
	if fmt.Sprintf("%08x", c.hash) != hash {
		return c, errors.New("key id is wrong")
	}
	return c, nil
}

// checkTile compares a published tile with the hashes that the root vouches for.
func checkTile(files directory, tile tlog.Tile, hashes tlog.HashReader) error {
	published, err := os.ReadFile(files.file(path(tile)))
	if err != nil {
		return err
	}
	vouched, err := tlog.ReadTileData(tile, hashes)
	if err != nil {
		return err
	}
	if !bytes.Equal(published, vouched) {
		return errors.New("not the tile of this tree")
	}
	return nil
}

// publishedTiles are those of a tree of `size` leaves: of the partial tiles only the widest.
func publishedTiles(size int64) []tlog.Tile {
	var tiles []tlog.Tile
	for _, tile := range tlog.NewTiles(height, 0, size) {
		if last := len(tiles) - 1; last >= 0 && tiles[last].L == tile.L && tiles[last].N == tile.N {
			tiles = tiles[:last]
		}
		tiles = append(tiles, tile)
	}
	return tiles
}

// checkPrefix checks that the tree extends its own first `size` leaves.
func checkPrefix(tree tlog.Tree, size int64, hashes tlog.HashReader) error {
	root, err := tlog.TreeHash(size, hashes)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, size, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, size, root)
}

// readLeaves hashes the entries of all bundles.
func readLeaves(files directory, size int64) ([]tlog.Hash, error) {
	var leaves []tlog.Hash
	for _, tile := range publishedTiles(size) {
		if tile.L != 0 {
			continue
		}
		name := "tile/entries/" + strings.TrimPrefix(path(tile), "tile/0/")
		bundle, err := os.ReadFile(files.file(name))
		if err != nil {
			return nil, err
		}
		for i := 0; i < tile.W; i++ {
			if len(bundle) < 2 {
				return nil, fmt.Errorf("%s: cut after %d entries", name, i)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			if bundle = bundle[2:]; len(bundle) < length {
				return nil, fmt.Errorf("%s: cut after %d entries", name, i)
			}
			leaves = append(leaves, tlog.RecordHash(bundle[:length]))
			bundle = bundle[length:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("%s: more than %d entries", name, tile.W)
		}
	}
	return leaves, nil
}

// directory reads tiles from files; it is a tlog.TileReader.
type directory string

func (d directory) Height() int { return height }

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		file, err := os.ReadFile(d.file(path(tile)))
		if err != nil {
			return nil, err
		}
		data = append(data, file)
	}
	return data, nil
}

func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

func (d directory) file(path string) string {
	return filepath.Join(string(d), filepath.FromSlash(path))
}

// path is that of the checksum database without the height, which is fixed here.
func path(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}
