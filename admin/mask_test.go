package admin

import (
	"strings"
	"testing"
)

func TestASecretIsMaskedToItsEnd(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"/hook?key=s3,ken;v1='x\"y#z&x=1,2;3":     "/hook?key=" + masked + "&x=1,2;3",
		"/hook?sig=v1,bm9uc2Vuc2U=&sig=v2,YWJj":   "/hook?sig=" + masked + "&sig=" + masked,
		"/hook?a=1;token=s3,ken&b=2":              "/hook?a=1;token=" + masked + "&b=2",
		"/hook?to=http://me:p@ss@host/?token=a;b": "/hook?to=http://" + masked + "@host/?token=" + masked,
		"/hook?%zz=a;b&c?d":                       "/hook?%zz=" + masked + "&c?d",
		"/hook?a b=s&my token=s s&c=d":            "/hook?a b=s&my token=" + masked + "&c=d",
		"/hook":                                   "/hook",
		"/hook?":                                  "/hook?",
	} {
		if got := maskURI(uri, nil); got != want {
			t.Errorf("%s is shown as %s, want %s", uri, got, want)
		}
	}
	for text, want := range map[string]string{
		`see https://a/?key=s3,ken;'more&x=1 there`: "see https://a/?key=" + masked + "&x=1 there",
		`keyId="a",algorithm="b",signature="c,d=="`: `keyId="a",algorithm="b",signature=` + masked,
		`x=1;token=a,b y=2`:                         "x=1;token=" + masked + " y=2",
		"postgres://me:p@ss:w@host/db":              "postgres://" + masked + "@host/db",
	} {
		if got := maskText(text, nil); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func FuzzMaskedTextHasNoSecret(f *testing.F) {
	for _, v := range []string{"s3cret", "s3,ken", "v1,YWJj==", `a'b"c`, "a;b", "a?b=c", "x:", `x":`, "é\xff", "a@b"} {
		f.Add("/hook?a=1&", "token", v)
		f.Add("see http://a/?", "x-key", v)
	}
	f.Fuzz(func(t *testing.T, before, name, v string) {
		whole := strings.Map(func(r rune) rune {
			if strings.ContainsRune(endOfValue, r) {
				return -1
			}
			return r
		}, v)
		for shown, secret := range map[string]string{
			maskText(before+"?token="+whole+" and more", nil):                                                          whole,
			maskURI("/hook?a=1&token="+strings.ReplaceAll(v, "&", "")+"&b=2", nil):                                     strings.ReplaceAll(v, "&", ""),
			maskURI("/hook?"+strings.ReplaceAll(before, "&", "")+"&"+name+"_key="+strings.ReplaceAll(v, "&", ""), nil): strings.ReplaceAll(v, "&", ""),
		} {
			// What is short, or stands elsewhere in the text, shows nothing of the secret.
			if len(secret) >= 4 && !strings.Contains(before+name+"/hook?a=1&token=[masked] and more", secret) && strings.Contains(shown, secret) {
				t.Errorf("%q is shown in %q", secret, shown)
			}
		}
	})
}
