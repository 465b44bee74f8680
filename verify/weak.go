package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// smallOrder are the Ed25519 keys under which anybody can sign, without their sign
// bit: points of order 1, 2, 4 and 8, in every way to write them. A key of all
// zeros, a placeholder that was never replaced, is one of them.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// anybodys tells whether anybody can sign under a key.
func anybodys(k ed25519.PublicKey) bool {
	if len(k) != ed25519.PublicKeySize {
		return false
	}
	point := slices.Clone(k)
	point[len(point)-1] &= 0x7f
	return slices.Contains(smallOrder, hex.EncodeToString(point))
}

// curves are those that the algorithms of a JWT stand for (RFC 7518, §3.4).
var curves = map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

// suits refuses a key that none of a JWT's algorithms goes with.
func (s *Scheme) suits(public crypto.PublicKey) error {
	if s.Kind != "jwt" {
		return nil
	}
	for _, a := range s.Algorithms {
		switch k := public.(type) {
		case *rsa.PublicKey:
			if strings.HasPrefix(a, "RS") {
				return nil
			}
		case *ecdsa.PublicKey:
			if curves[a] == k.Curve.Params().Name {
				return nil
			}
		case ed25519.PublicKey:
			if a == "EdDSA" {
				return nil
			}
		}
	}
	return fmt.Errorf("the public key goes with none of the algorithms %s", strings.Join(s.Algorithms, " "))
}
