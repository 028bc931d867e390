"""The words of the toy world, each with its German, Chinese and Japanese counterpart.

German is written in lower case throughout, as everything that the toy's tokenizer reads.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """An English word and its translations; `gender` is the German noun's (m, f or n)."""

    en: str
    de: str
    zh: str
    ja: str
    gender: str = ""


def _table(text: str, gendered: bool = False) -> dict[str, Word]:
    """Read rows of `en | de | zh | ja`; with gendered=True the German column is `der|die|das noun`."""
    genders = {"der": "m", "die": "f", "das": "n"}
    words = {}
    for row in text.strip().split("\n"):
        en, de, zh, ja = (cell.strip() for cell in row.split("|"))
        if gendered:
            article, de = de.split(" ", 1)
            words[en] = Word(en, de, zh, ja, genders[article])
        else:
            words[en] = Word(en, de, zh, ja)
    return words


NAMES = _table("""
    anna  | anna  | 安娜 | アンナ
    tom   | tom   | 汤姆 | トム
    peter | peter | 彼得 | ピーター
    mary  | mary  | 玛丽 | メアリー
    lucy  | lucy  | 露西 | ルーシー
    david | david | 大卫 | デイビッド
    emma  | emma  | 艾玛 | エマ
    jack  | jack  | 杰克 | ジャック
""")

PEOPLE = _table(
    """
    man     | der mann    | 男人 | 男
    woman   | die frau    | 女人 | 女
    boy     | der junge   | 男孩 | 少年
    girl    | das mädchen | 女孩 | 少女
    teacher | der lehrer  | 老师 | 先生
    doctor  | der arzt    | 医生 | 医者
    farmer  | der bauer   | 农夫 | 農夫
    baker   | der bäcker  | 面包师 | パン屋
    king    | der könig   | 国王 | 王
    queen   | die königin | 王后 | 女王
""",
    gendered=True,
)

ANIMALS = _table(
    """
    dog   | der hund  | 狗 | 犬
    cat   | die katze | 猫 | 猫
    horse | das pferd | 马 | 馬
    cow   | die kuh   | 牛 | 牛
    bird  | der vogel | 鸟 | 鳥
    sheep | das schaf | 羊 | 羊
    duck  | die ente  | 鸭子 | 鴨
    mouse | die maus  | 老鼠 | 鼠
""",
    gendered=True,
)

THINGS = _table(
    """
    ball    | der ball    | 球 | ボール
    book    | das buch    | 书 | 本
    apple   | der apfel   | 苹果 | りんご
    cake    | der kuchen  | 蛋糕 | ケーキ
    cup     | die tasse   | 杯子 | カップ
    car     | das auto    | 汽车 | 車
    boat    | das boot    | 船 | 船
    box     | die kiste   | 箱子 | 箱
    flower  | die blume   | 花 | 花
    hat     | der hut     | 帽子 | 帽子
    key     | der schlüssel | 钥匙 | 鍵
    lamp    | die lampe   | 灯 | ランプ
    letter  | der brief   | 信 | 手紙
    phone   | das telefon | 电话 | 電話
    picture | das bild    | 画 | 絵
    ring    | der ring    | 戒指 | 指輪
    shoe    | der schuh   | 鞋 | 靴
    chair   | der stuhl   | 椅子 | 椅子
    table   | der tisch   | 桌子 | 机
    bag     | die tasche  | 包 | 鞄
    bottle  | die flasche | 瓶子 | 瓶
    guitar  | die gitarre | 吉他 | ギター
""",
    gendered=True,
)

COLORS = _table("""
    red    | rot    | 红色的 | 赤い
    blue   | blau   | 蓝色的 | 青い
    green  | grün   | 绿色的 | 緑の
    white  | weiß   | 白色的 | 白い
    black  | schwarz | 黑色的 | 黒い
    yellow | gelb   | 黄色的 | 黄色い
""")

# Adjectives of subjects and of objects differ where Chinese and Japanese have two words for "old".
SUBJECT_ADJECTIVES = _table("""
    big   | groß  | 大的 | 大きな
    small | klein | 小的 | 小さな
    old   | alt   | 老的 | 年老いた
    young | jung  | 年轻的 | 若い
""")

OBJECT_ADJECTIVES = COLORS | _table("""
    big   | groß  | 大的 | 大きな
    small | klein | 小的 | 小さな
    old   | alt   | 旧的 | 古い
    new   | neu   | 新的 | 新しい
""")

VERBS = _table("""
    sees   | sieht    | 看见 | 見る
    buys   | kauft    | 买 | 買う
    finds  | findet   | 找到 | 見つける
    likes  | mag      | 喜欢 | 好む
    takes  | nimmt    | 拿 | 取る
    paints | malt     | 画 | 描く
    brings | bringt   | 带来 | 持ってくる
    sells  | verkauft | 卖 | 売る
    wants  | will     | 想要 | 欲しがる
    holds  | hält     | 握着 | 持つ
    loses  | verliert | 丢失 | なくす
    cleans | putzt    | 清洗 | 洗う
""")

PAST = {
    "sees": "saw", "buys": "bought", "finds": "found", "likes": "liked", "takes": "took", "paints": "painted",
    "brings": "brought", "sells": "sold", "wants": "wanted", "holds": "held", "loses": "lost", "cleans": "cleaned",
}  # fmt: skip
BASE = {
    "sees": "see", "buys": "buy", "finds": "find", "likes": "like", "takes": "take", "paints": "paint",
    "brings": "bring", "sells": "sell", "wants": "want", "holds": "hold", "loses": "lose", "cleans": "clean",
}  # fmt: skip

# A place is said "in the …"; the translations are whole phrases.
PLACES = _table("""
    garden  | im garten       | 在花园里 | 庭で
    kitchen | in der küche    | 在厨房里 | 台所で
    school  | in der schule   | 在学校里 | 学校で
    park    | im park         | 在公园里 | 公園で
    forest  | im wald         | 在森林里 | 森で
    house   | im haus         | 在房子里 | 家で
    street  | auf der straße  | 在街上 | 通りで
    market  | auf dem markt   | 在市场里 | 市場で
    city    | in der stadt    | 在城市里 | 町で
    village | im dorf         | 在村子里 | 村で
    station | am bahnhof      | 在车站里 | 駅で
    church  | in der kirche   | 在教堂里 | 教会で
""")

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

TIMES = _table("""
    today          | heute      | 今天 | 今日
    tonight        | heute abend | 今晚 | 今夜
    every day      | jeden tag  | 每天 | 毎日
    in the morning | am morgen  | 早上 | 朝に
    on monday      | am montag  | 星期一 | 月曜日に
    on tuesday     | am dienstag | 星期二 | 火曜日に
    on wednesday   | am mittwoch | 星期三 | 水曜日に
    on thursday    | am donnerstag | 星期四 | 木曜日に
    on friday      | am freitag | 星期五 | 金曜日に
    on saturday    | am samstag | 星期六 | 土曜日に
    on sunday      | am sonntag | 星期日 | 日曜日に
""")

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

OPPOSITES = {
    "big": "small",
    "small": "big",
    "old": "new",
    "new": "old",
    "young": "old",
    "black": "white",
    "white": "black",
}

NOUNS = PEOPLE | ANIMALS
