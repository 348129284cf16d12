// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"errors"
	"io"
	stdnet "net"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// dig gets its answers over UDP and TCP through port 53.
func TestDig(t *testing.T) {
	t.Parallel()
	lab.Need(t, "dig")
	net := lab.New(t).Direct()
	startDNS(net.Host, ":30053")
	net.Host.XFWD().Add("53/tcp+udp", "30053")
	for family, host := range net.HostAddr.All() {
		for network, option := range map[string]string{"udp": "+notcp", "tcp": "+tcp"} {
			within(t, net, network+" "+family, func(t *testing.T) {
				for _, client := range []*lab.Namespace{net.Client, net.Host} {
					output := client.Run("dig", "@"+host.String(), "-p", "53", "+short", "+tries=1", "+time=3", option, "name.test", "TXT")
					if got := strings.TrimSpace(output); got != `"`+network+`"` {
						t.Errorf("in %s: %s", client.Name, output)
					}
				}
			})
		}
	}
}

// startDNS answers every question with a text: how it was asked, udp or tcp.
func startDNS(at *lab.Namespace, address string) {
	udp := at.ListenUDP(address)
	go func() {
		question := make([]byte, 4096)
		for {
			size, client, err := udp.ReadFromUDPAddrPort(question)
			if errors.Is(err, stdnet.ErrClosed) {
				return
			}
			if answer := dnsAnswer(question[:size], "udp"); answer != nil {
				udp.WriteToUDPAddrPort(answer, client)
			}
		}
	}()
	at.Serve(address, func(conn stdnet.Conn) {
		var length uint16
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		question := make([]byte, length)
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := dnsAnswer(question, "tcp")
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	})
}

func dnsAnswer(question []byte, text string) []byte {
	var message layers.DNS
	if err := message.DecodeFromBytes(question, gopacket.NilDecodeFeedback); err != nil || len(message.Questions) != 1 {
		return nil
	}
	answer := layers.DNS{
		ID: message.ID, QR: true, AA: true, RD: message.RD, Questions: message.Questions,
		Answers: []layers.DNSResourceRecord{{
			Name: message.Questions[0].Name, Type: layers.DNSTypeTXT, Class: layers.DNSClassIN,
			TTL: 1, TXTs: [][]byte{[]byte(text)},
		}},
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := answer.SerializeTo(buffer, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		return nil
	}
	return buffer.Bytes()
}
