"""Codestreams of 32 x 24 pixels, by encoders that this project does not decode with: libjpeg-turbo 3 and OpenJPH.

Made once with imagecodecs 2026.3.6 (`jpeg8_encode`, `htj2k_encode`; level 95, or lossless) from `waves(bits)`.
"""

from __future__ import annotations

import base64

import numpy as np


def waves(bits):
    """round((2 ** bits - 1) * (1/2 + 0.49 sin(row / 9) cos(column / 7)))."""
    rows, columns = np.mgrid[0:32, 0:24]
    wave = 0.5 + 0.49 * np.sin(rows / 9) * np.cos(columns / 7)
    return np.rint(((1 << bits) - 1) * wave).astype("u1" if bits == 8 else "u2")


CODESTREAMS = {
    name: base64.b64decode(text)
    for name, text in {
        "baseline-8": (
            "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoK"
            "CgoKBggLDAsKDAkKCgr/wAALCAAgABgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUF"
            "BAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVW"
            "V1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi"
            "4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APpfxv8Asg2/hywa5XTQu1c52V8s/HPUG+GzTCNtmzPtXzT4o/bNutG1BrUaoRg4"
            "xvr+iT9ozwJpVr4bneOFQfLPb2r8Xv8AgpHK2kSX32Y4xu6V+Qnxn+IGrQeJ5USZseYe9f10fHn46aZqugTRR3akmM/xe1fkt+35"
            "at4se88gbt27pX5b/Fj4B6pqHiGSZbNjmQ/w1+w97+2cviVDa/2pu3cffrmda04/E7JC+Z5n41ztz+xG2tv9q/srOefuV//Z"
        ),
        "extended-12": (
            "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoK"
            "CgoKBggLDAsKDAkKCgr/wQALDAAgABgBAREA/8QAFwAAAwEAAAAAAAAAAAAAAAAACgwNDv/EACsQAAADBgUDBQEBAAAAAAAAAAEC"
            "AwQFBggREgAHCQoLDBMUFjFBUWFxDf/aAAgBAQAAPwBmP3vnSAcu23QkYimZBzaazA5DuVzLNYLkhMqdthBNWtn5hWl5z+fxs43V"
            "55rMcFPk0D+ijNoFBFTx+32rvqlPbC0juiOszplNGmfd/Syu3U/eDrTdj7UZAZyxgYlLTiWlL8aJe6jL2IOlJKjtuc6Ity/yihlm"
            "aGfL9vOQyDCkAgIM5x+AxF3f9JMzPfmkpGE7CcvjQd3A7lYg7PgjZS0VaUp/MSC7mZN//q55Abm7MuD4RzkilFmRzEayFKk3qgFA"
            "aTB8DjXVvPNc6Lpp6qegPm1lPBE2sPPFd4QQ2okTRfaZhETIGD4NiSz9fpSzPndgxVN2vkawHiIIgVfYpeEXu3XirT2r94ltPLDc"
            "B3qgz7bhrMHN6F5PojbEGuO2pcqqbiUMAgK5h+C4sPE5XWdEP7lqC2mWRHVBTfovxEWTxwjDuXXhbSl/7gafWk08D8nIo821jcnr"
            "31zeICCfk9zvV/tffA7cyfRGsQ62sbrzTJaVCj1B6LC2eR6ME9bhurXt/uP/2Q=="
        ),
        "lossless-sv1-8": (
            "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALCAAgABgBAREA/8QAGQAAAgMBAAAAAAAAAAAAAAAAAwQAAQIF/9oACAEBAAEAAJJJJJJJ"
            "JJJJJHZKqqznOc1nOc1VVJHpVZxkeBjHgY8DzjNVI7KzgYxhEEIghEMY8ZqR2ZxgQggAuuBcAAiFjGZHJkYwhXXWWVWWWXXCEY8y"
            "OVkYQrrLKKKKKqLLLgEPNW1WRBAsqommkmmmoqsAIs1bVYEBdVRNJFFJFJNRVcAsVbFDEBZRNJFBBBFFJNRYAh1ZqwECqiSKHP5/"
            "PQQRSUVAHFWahhXVTSQQ53O5/OQQSTVXCOrJQwrqJooc/nc3nc7noIpqLhHV6oYV1E0EOdzubzubz+eimouEdXdDCuokjz+fzebz"
            "ubz+eikouEdXKGFZRNHn87nc3nc3n89FJVYI6vNDCsqmjz+fzubzudz+eimqsEdWOhhXVTSQ5/O53P53PQSTVWEOrFWArqqJI89D"
            "nc/noIpKKrhxVhoYgKqpJIoc9BBFFNRYAh1a9YEBdVNNFJBFFJNNVcAsVa1YGACyiiaSSaSaiiy4R4q1awMQF1lVFE1FFFVlwBxi"
            "rUrIxhAussqqsqssuAIx5q06zjAggABdZdcAABFjGatKZzgYxBCEAQhCIY8ZzIlVVnGBjGMQxiwPGM1VWjKmaznOM4znGc5rMqRG"
            "SSpKlVKlSVJJEbku7u9Xq71d3dyXSUu73re97Jve973q7uRG71rZCFKUxSlKQm9au6//2Q=="
        ),
        "lossless-sv1-12": (
            "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALDAAgABgBAREA/8QAHQAAAgIDAQEBAAAAAAAAAAAABwgFBgMECQACAf/aAAgBAQABAAD3"
            "ve973ve973ve973ve953vnBqaEZEQ0HAwFfgICBg4aIjNDUwfP07mLSiYCtVKmUiiUGgUChUOkU2pVmBidLFldbBF1+pUceDQWic"
            "SCERCMTi0aD2j1KvRmDO52tC1SiDUUB0JgsDgQCAcFhMOiga0SqQuvsuJqV+lDcSBQDL2uK2LQtC2LivYGCglG1Lr+ptttp1mgio"
            "KgJcVjVlUlPU5UlZWRcQEFRVQqzp7rT6NUHIfAy4q8p6hJ2m6bJ2oanK8uQGD45qujvMtH1AYhVelhU1PEvSVIkhSVL08U1Yl6Co"
            "xqGhIMHHUwVAxblVT5K0dRRDkPRRHUrT9VFvBgrpkdJG6MpIlAiyqUmKPIcgnP8A5/oKhyPJkpKzAQTUiNkyvGUYQr8rqgpOiaB8"
            "+OeXPPnwgaJpOoKvL8IaNGyZBi6IHV6VhOkgQvn1zv5086ud/PpC0gTpWV6D1Ei5S0RdCDi7qom6NoNz051c4+cnOnnqgyOJsqq7"
            "hyhxcrIRVCDa7KmmqNIHzz5z84ecXOfnmgaNJqqi7BuhRcrrRVDDa7qomqNoJz05084ucfOjnogqNpsqi7huhxcrXYuiB1eFXTlH"
            "0I5887ec/Ojnbz4QlH05VdeQ9Q4yUosZRRAvquJ8kqIIDz15388OeqAIikqfq4vogo0ZJi6MpAkASxqOlyNoWgHPvn4gCFo2lyjr"
            "IAhJSI2TC8dShUCVsVFOkoRhD0KQpD0ZShOlSWwFCmlx0kAo+nDAJLsrykpulKQo2jiQpSnCkK+uwSGFPj5BbtGpjYOANbFZUpPU"
            "0TFME1T1SVZW0Bhwb1PR31d0qwPhOEV9WxXVTUtSFHUxUleWxfQiJx/WNLeUzUrtIGYgB4AXRa1kWFYVkWtdAADxANKPXtTbT/Wg"
            "6jQBiIgsDAKv6+L4v4FBgWEQxoFSg9bZTTXiq3TqENxaJg+HAyGQ4HxMLRvQqfW4rX2EqxaENXKrTKNQB4ORuOByPKBRqZVK7DaG"
            "LKkvxraMZDQderlZrFWq9YrNbr8FDxmjrfH2kP58/GPFhwa+vra2vra+vgw4sfx8/n6kH1k2dvdkZKUlpeXl5aWlJKR3tvYyfXyk"
            "WTck5qw2a2XC53W73a7XO4Wuz2Cbk9vJjSfNJT1pud9IhLKBUKpVKhQJRFvlztM9JZsP/9k="
        ),
        "lossless-sv1-16": (
            "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAgABgBAREA/8QAHgAAAgIDAQEBAQAAAAAAAAAACwwJCgcIDQAGBQT/2gAIAQEAAQAA"
            "973ve973ve973ve973ved6Pm8J6m6FxnxLw0QgwRwHQCQCQHwRwgw0RMRn6GanYT+c+ldvcb6URPQN1oamlNakTRMoSUD6B9CSib"
            "SJpr1Na0cDcT+lWOMkusuFIwK+dTCj4PaGnC2xQIkYROInEjCghbY1Ae3R+qY19YwsLZtc5Nc4XKp1E4bCKNDqhPQZAHoCiBRA9A"
            "yQnwdYUeNkooVUIX9ddj3DrVKv7SyG8CVgqIG9e1XJlsRaUWlFsVcmXtwOIVMSwN7pawAaq7YNtOmlaWhAKwCuAKlyFZHVn1S1T0"
            "U9FS5WgWSFyQBaFeFaUI61GnG5zTpozVTHNh+QO644r3qfChynbpu6buncqHSn0r5Lj4HoP6Oeqr6O71MrugVQoZGFVXqVipTeTy"
            "0vhJpSIkiFJrS+k81TgWLV60KyMnqH6DSBMFcdlMsV0DGW91VdPuSxUeFFGQ90PlFGR40sdPxVW1vsGUK/pnx4yMG3Y2qSomMCcs"
            "wqUqZMj0oeqCjz/3n/yCkh7o9iZQpVLMgFITRSbjfkqK9RmUaxDq/cr0KDCUKicoHXPjuea88358cgeIniUQoOK9q/kIio4xoycE"
            "B4waJYepenVkE7BIQQuOfYc7+51HzqPnf/PskLtITTtFZVesD30UYx5Q7QsXVDgOUu9qrKbejioNHPWudR85H5yRzqXnriDUjkpu"
            "aq8vABzqH0YEpe/kXFDAN6u1KoaasjUoI/POedAc4j5xJzoHnnaCUjWprKqQu3hwqG0X0put8XVDQOIu6KqCbIjcoLXPS+dKc445"
            "xzzpXnpqC6jeptCqou8hyaHcX8pdeWL+iKHfXmFX5OaR90J3nynO3+dC86F53Bz5VCgR+055WCXnQ8tEqMWUajFGRRhEGr7Cuan8"
            "JMCIigIc9g54RzwnnsKAkiJpMif4ror7ohKjPGbJ6LpjWpECTgGKx6o9JeyNoheoC3PwufhIC6F+jbpfKj8sggNRKdI6NuS8MDHP"
            "S7FQgolstUjTs0oVGbQ/kK5CvQ/0Z1KHTtlSZbPBTipaYEdkjoC6PunwMECWLuyvapMJv6VOkKo5aOYkLJVKcCpNq+C70EvGE0/Y"
            "/wCQlby0TqfDeA5QD1bWVoVKJPdTWExVMVTWU99SjVpFtkCAHNG+1QtF98FdXS2saP6E+BG191bLV6FTlTDUh1IhTEVO1elbNX4A"
            "jwn8f9WR0w3WU1tSq8lIgaAIPB/AEV05a3WUlh5YfWUlrldPAJhABCQ0KkZXn1N25T+9aYQakVBMYsI1C4AzwKa/+vqL6q/+BUBo"
            "BchG4xigrUlhD1t2YTRcFxSVxaeNC0b8LkE0CBg4oaQNIHGEDiaBc436hfTzrjxTYNzslc4t0MhurtVUKalGmgiPNHQDhxxA6Aeb"
            "QSo1U1qqNduG/Q3F+U0lb5HXXR2MmHuDavzXHrQ1h6vVXmsRWhrj1+oNofIydHtdvkvr0h7+X8L47HmK8OYPwLr5rtrprprtr5gX"
            "B+HMWY8+O/C/l/qSEv2sn7A7Y7uyCyUSiStS0y4S4S0ytSiSTyC7u7YbA5O/a/ESMvvtupMZo7Blmq13b/uZXVrs92i6rcyt/Wu7"
            "NNguaKTDbn734BJ9zFJHO7aQuZ3xyI5LAoCU4KqFUynBQAleRGvjXMrR07kkOYMN/wD/2Q=="
        ),
        "lossless-p6-12": (
            "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALDAAgABgBAREA/8QAHAAAAwADAQEBAAAAAAAAAAAABQYHAAMECAEC/9oACAEBAAYAAMzM"
            "zMzMzMzMzMzMzPb1ts9gq1LfXBgIYPAKCFNZVH4xEofDYfEvblrs9fqlKfW5gI5wL6ihTaVyGMxSIRCIRT2tabHXapSHtuPkPvAB"
            "UUWcSySRyLROJROLezrLYKxUKK9Np7vzhAqiNOphJ4/GovFYxGvYlgrdUplCdmk73/eEGrJU/mkrksfjscjkf9bVqq0+jPzmzmu7"
            "OMKsJqFOZjKpNI5FJJN6nqVOpFBeG5kM9n3jDrikjz+cTGXSqVyuW+lqTRqA9ObSwFuzOUUvqycjT6dTaZzKaTb0HQX14c2tlOE+"
            "n7yjQq2ppyOhz+fT2eoFudXNwamU+XI9GaB4gCtqqgmpKQjpCTV2xpZmI6YJ9u/7p4xggEurSsqKSmqKlBYDxsyWJd3VtzXzcQ0U"
            "HBggC+vrwBoKEiRDt7Ond+/v4083JxcA4YLFixYwhv6N+7ds2fr9Z8/P416dOnRo5+fn5+bX+Nf4/P4/Pz59+/f1+tmzZs27Nu3a"
            "uj+Dh4eTm0avzn729HT19vcQIEiJIgigwgYUMH8XPrzZ0dhAoWMmzp0+dOS5XWlxfCCR3Jpzd2ES5s+xs7Q0tLS0xdNTlNXXQQng"
            "586O4sdY2htcHR1dXVzgSEipKeqroUbzfekkbYmpwdnp9oFAf33zdOZ6gI6ergBfL87Cp9pcHh+olHpNKpVI8uy+aTlASVNdD8ed"
            "hdjbHd/o1MqFSqdSqHkyUSyZzpDTlkNxZ2mmVyfKLTanWK1XK3V/H8hk0sms/SlYHw53G2l1oFKqVartisVhr3jSNyGUTGdo6oCH"
            "53nWx3olOrFestmtNmsviqMRySS2coimA4M7z7a90ep1ux2i2Wy2WjxLFIzIZZNUNQAD8IH298pNUr1mtdvt9utfiGJRiQSmbISi"
            "vj/hBgbn2lVWwWe23C5XC2+IInF5BKZohJ6+P+kWBvfqXVrBaLbcbjcbb4iicakEqmyCogB/wgfcH2lVWv2a23C43C2+J4rGpFLJ"
            "siKIAf8Ae8+3PlHqlcstpttvttq//9k="
        ),
        "htj2k-lossless-16": (
            "/0//UQApQAAAAAAYAAAAIAAAAAAAAAAAAAAAGAAAACAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
            "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAA6sAAf+TwAAmXusEB3QAwAATQAATQAATAGMB"
            "BYd0ADr8BAd0AKNlBYd0AMAAFRAABWQAAVAYDJbhBIt0AIRau9FxFgL6AUGUANxUFPwEC3QAwAAW5AABbsAAFsjMwIdHYJmmgwPA"
            "c/RiFowN4Rdq4P4U9HKBvZcANgtJTQlde69EACt/B3ZEDi7bwez+DJnCUoG9mABoIe0R6eW7ZaUe6oBcNoyd+RSZwjEBvZgAwAAX"
            "pkAAF6dAABdkCDBCAHVFA7YL/D6QXfeqMSqmRWLr6heKvYd758I36Dc1WeGikh22rRHxXkbJGVlC4xlUWSA/D/4XYgMh/gB5FO6K"
            "UBqUJAIIwDmfAFjVk6TUETRmMVykpb9Zw7IxqdIi6tm53EuIa8LCSVAbtsmEbZpJik+1sPIpQ/K3CqcVFe50BzjyIECnwUDSAAPI"
            "qP5GehyJcgEEQGawAQoxGqhi/TQsbyLDy1ZjpSjBhtz3QhwO4jBIDbB14LAAxAIZAAMEEoeuM/XnFwBFEZ8AwAAvtuAAF92wAAvS"
            "AI4CwM2YU9MuNAAQC8cA5aRlLLEZeTN+2VbH/L9dPHpw4ifi3IIfLwSPQwQINJZG7ATe3fzC/SIEqLSDqJBUwLvHChYWd/b2aiz8"
            "+yFT6iRCpEmPk0h6IC8cq1Ba1NnTraDywY902NOEkRcCoLH7RezTIjhIuoDJu4zxxD+z/w3gswTWKKAcKMH1PK2kqkCgqiX0Knzv"
            "YTIlFIZUsoAEGGnFkjgH9FAe6glgwpBE/gwZUQ4j93AIz7h4aKfWdJDgv6zpIcF6hlnI7XHrWDSX9KLgAAzxpFXYIEddAiwCFZ9k"
            "OQpSAkuMtZvKNc3XXxoDWQGmVuAwmTO385oPtde5OOG5womuUDMMHW56BcZFa80Sme35i5yfsqY5RcZ69ZiYBAhIJJvtdguNAgKS"
            "lvLyDhP1qKo18vHAB+dktIGpeclcvO/e6Tg7uovy4CZBDY/L62jXqjynTj2b2/h+OxG9kc3AQdDsLC5JZ5EYJoVcZTu6twqzxe0D"
            "SrYDEjQDqq0CimMBQxvA9QQAPgYwjQKYQwO0zQMc1AME9gxgAgiEBJQxgAx9wAjPuAEZ/WcBol/XrzkfWX9Z2cjol0gdecjWuPyC"
            "ESJkEAmQA4AD4AeCf4GCX4gI/gHAfwHf8FeBEQIAFAE0eGLyQBABTzBE5FAEC3blju2mxpwiHn+fCOZY1cE1kYd5XnWpPlp7748s"
            "IL27Av/Z"
        ),
        "htj2k-16": (
            "/0//UQApQAAAAAAYAAAAIAAAAAAAAAAAAAAAGAAAACAAAAAAAAAAAAABDwEB/1AACAACAAAAJf9SAAwAAgABAAUEBEAA/1wAIyKP"
            "dI9Fj0WPF4dch1yHPX+qf6p/wmg1aDVoeGAaYBpvv/9kABcAAU9wZW5KUEggVmVyIDAuMjYuMy7/kAAKAAAAAAExAAH/k8AAJlbr"
            "BAd0AMAAJoAATQAAmMflBId0AB7+Awd0ACvhBAd0AMAATwABVwABOI6mzAMLdACu0BELNZjxAQGUAD667wKLdADAALVgAFsQAC0A"
            "Om6P/ybdqKSHJ0BkeOgU9DABvZcArMK0UCGDmGoqRkL7G3v8AAAzhCEBezkAKmsqAzEWkf1ABM4QCXs4AMAC0oAF1YBskN8w+SdL"
            "td/+ab+xmFoufAAWhR/BRR0fIgsISDLCM8poZxNO0oTbFgOH9P0QAjIAqPRxl9JoQEBASzABwAW1ABdkxDBZhVwKAKUAXoMUbv3z"
            "/EPFSXFEpJPb3AC0VICoKqxZSbUirZ6LpY5JhMuANciF/rGMWCXZD/3AQgKZMIQCdMQgKbpJrVamkmo2Af/Z"
        ),
    }.items()
}
