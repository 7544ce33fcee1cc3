package xt

import (
	"fmt"
	"strings"
)

// addressList is up to 16 IPv6 addresses, their number in the byte at count.
func addressList(at, count int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		list := strings.Split(w[0], ",")
		if len(list) > 16 {
			return fmt.Errorf("more than 16 addresses")
		}
		b.d[count] = byte(len(list))
		for i, s := range list {
			if err := b.putAddress(at+16*i, s); err != nil {
				return err
			}
		}
		return nil
	}, func(b *blob) (string, bool) {
		n := int(b.d[count])
		if n < 1 || n > 16 {
			return "", false
		}
		var list []string
		for i := range n {
			list = append(list, b.addressText(at+16*i))
		}
		return strings.Join(list, ","), true
	}}
}
